/** TrainerService: training jobs, what they report, and models. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { requestId } from "../lib/ids";
import { hasEnded } from "../lib/states";
import { all, json, send } from "./http";
import type {
  Accelerator,
  Artifact,
  Checkpoint,
  ModelFamily,
  Schemas,
  TrainingJob,
  TrainingJobSpec,
  Validation,
} from "./types";

const SOON_MS = 3000;
/** Signed links are asked anew after this. */
const LINKS_LAST_MS = 300_000;

export function jobsQuery(project: string) {
  return infiniteQueryOptions({
    queryKey: ["jobs", project],
    queryFn: ({ pageParam }) =>
      json<{ trainingJobs?: TrainingJob[]; nextPageToken?: string }>(`${project}/trainingJobs`, {
        query: { pageToken: pageParam },
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
    refetchInterval: 3000,
  });
}

/** Jobs that train on a version. */
export function jobsOfQuery(version: string) {
  return infiniteQueryOptions({
    queryKey: ["jobs", version],
    queryFn: ({ pageParam }) =>
      json<{ trainingJobs?: TrainingJob[]; nextPageToken?: string }>(
        `${version.split("/").slice(0, 2).join("/")}/trainingJobs`,
        { query: { dataset: version, pageToken: pageParam } },
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
  });
}

export function jobQuery(name: string) {
  return queryOptions({ queryKey: ["job", name], queryFn: () => json<TrainingJob>(name) });
}

/** Everything that a job has measured, for pages that do not follow it. */
export function metricsQuery(job: string) {
  return queryOptions({
    queryKey: ["metrics", job],
    queryFn: () =>
      all(async (pageToken) => {
        const page = await json<Schemas["ListMetricsResponse"]>(`${job}/metrics`, {
          query: { pageSize: 10_000, pageToken },
        });
        return [page.points, page.nextPageToken];
      }),
  });
}

/** The whole logs of ended attempts with signed links, which stop working after a while. */
export function attemptLogsQuery({ name = "", state, attempt = 0 }: TrainingJob) {
  return queryOptions({
    queryKey: ["attemptLogs", name],
    queryFn: () =>
      all(async (pageToken) => {
        const page = await json<Schemas["ListAttemptLogsResponse"]>(`${name}/logs`, { query: { pageToken } });
        return [page.logs, page.nextPageToken];
      }),
    // A log is put away a moment after its attempt has ended.
    refetchInterval: ({ state: { data = [] } }) =>
      hasEnded(state) && data.length < attempt ? SOON_MS : LINKS_LAST_MS,
  });
}

/** The samples with what was said about them at each evaluation. */
export function samplesQuery(job: string) {
  return queryOptions({
    queryKey: ["samples", job],
    queryFn: () =>
      all(async (pageToken) => {
        const page = await json<Schemas["ListSamplesResponse"]>(`${job}/samples`, {
          query: { withAnswers: true, pageToken },
        });
        return [page.samples, page.nextPageToken];
      }),
  });
}

export function checkpointsQuery(job: string) {
  return queryOptions({
    queryKey: ["checkpoints", job],
    queryFn: async () => (await json<{ checkpoints?: Checkpoint[] }>(`${job}/checkpoints`)).checkpoints ?? [],
  });
}

/** Artifacts with signed links, which stop working after a while. */
export function artifactsQuery(job: string) {
  return queryOptions({
    queryKey: ["artifacts", job],
    queryFn: async () => (await json<{ artifacts?: Artifact[] }>(`${job}/artifacts`)).artifacts ?? [],
    refetchInterval: LINKS_LAST_MS,
  });
}

/** Kinds of models that can be trained, and why some cannot here. */
export const familiesQuery = queryOptions({
  queryKey: ["families"],
  queryFn: async () => (await json<{ families?: ModelFamily[] }>("modelFamilies")).families ?? [],
  staleTime: Infinity,
});

/** What a job may ask for by name. */
export function acceleratorsQuery(project: string) {
  return queryOptions({
    queryKey: ["accelerators", project],
    queryFn: async () =>
      (await json<{ accelerators?: Accelerator[] }>(`${project}/accelerators`)).accelerators ?? [],
  });
}

/** Checks a job without creating it. Problems are part of the answer, not an error. */
export function validationQuery(project: string, spec: TrainingJobSpec | undefined) {
  return queryOptions({
    queryKey: ["validation", project, spec],
    queryFn: ({ signal }) =>
      json<Validation>(`${project}/trainingJobs:validate`, {
        method: "POST",
        body: { trainingJob: { spec } },
        signal,
      }),
    enabled: spec !== undefined,
    staleTime: 10_000,
    retry: false,
  });
}

/** Training examples of a job as its model would get them; without rows, those that it sees first. */
export function previewQuery(project: string, spec: TrainingJobSpec, rows: readonly number[], count: number) {
  return queryOptions({
    queryKey: ["examplesPreview", project, spec, rows],
    queryFn: ({ signal }) =>
      json<Schemas["PreviewTrainingExamplesResponse"]>(`${project}/trainingJobs:previewExamples`, {
        method: "POST",
        body: { trainingJob: { spec }, rows: rows.map(String), count },
        signal,
      }),
    staleTime: Infinity,
    retry: false,
  });
}

export function createJob(
  project: string,
  job: { displayName: string; spec: TrainingJobSpec },
): Promise<TrainingJob> {
  return json<TrainingJob>(`${project}/trainingJobs`, {
    method: "POST",
    query: { requestId: requestId() },
    body: job,
  });
}

export function cancelJob(name: string): Promise<TrainingJob> {
  return json<TrainingJob>(`${name}:cancel`, { method: "POST", body: { requestId: requestId() } });
}

/** Frees the job's machine once a checkpoint is saved. */
export function pauseJob(name: string): Promise<TrainingJob> {
  return json<TrainingJob>(`${name}:pause`, { method: "POST", body: { requestId: requestId() } });
}

export function resumeJob(name: string): Promise<TrainingJob> {
  return json<TrainingJob>(`${name}:resume`, { method: "POST", body: { requestId: requestId() } });
}

export async function deleteJob(name: string): Promise<void> {
  await send(name, { method: "DELETE", query: { requestId: requestId() } });
}
