/** TrainerService: models that a job can start from. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { requestId } from "../lib/ids";
import { ApiError } from "./errors";
import { all, json, send } from "./http";
import type { ArtifactFile, Model, Schemas } from "./types";

/** Which models are wanted: of a family, that learnt from a dataset, that came from another model. */
export interface ModelFilter {
  family?: string;
  dataset?: string;
  base?: string;
}

export function modelsQuery(project: string, filter: ModelFilter = {}) {
  return infiniteQueryOptions({
    queryKey: ["models", project, filter],
    queryFn: ({ pageParam }) =>
      json<{ models?: Model[]; nextPageToken?: string }>(`${project}/models`, {
        query: { ...filter, pageToken: pageParam },
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
  });
}

export function modelQuery(name: string) {
  return queryOptions({ queryKey: ["model", name], queryFn: () => json<Model>(name) });
}

/** Files with signed links, which stop working after a while: asked anew every five minutes. */
export function modelFilesQuery(name: string) {
  return queryOptions({
    queryKey: ["modelFiles", name],
    queryFn: () =>
      all(async (pageToken) => {
        const page = await json<Schemas["ListModelFilesResponse"]>(`${name}/files`, {
          query: { pageSize: 1000, pageToken },
        });
        return [page.files, page.nextPageToken];
      }),
    refetchInterval: 300_000,
  });
}

/** The text of a file behind a signed link. */
export function textQuery(file: ArtifactFile | undefined) {
  return queryOptions({
    queryKey: ["text", file?.sha256],
    queryFn: async () => {
      const answer = await fetch(file?.url ?? "");
      if (answer.ok) return await answer.text();
      throw new ApiError(`The object store answered ${answer.status} ${answer.statusText}.`, undefined);
    },
    enabled: file !== undefined,
    staleTime: Infinity,
  });
}

/** `artifact` is `merged`, or empty for what was trained. */
export function registerModel(
  project: string,
  id: string,
  trainingJob: string,
  artifact: string,
): Promise<Model> {
  return json<Model>(`${project}/models`, {
    method: "POST",
    query: { modelId: id, requestId: requestId() },
    body: { trainingJob, artifact },
  });
}

export async function deleteModel({ name = "", etag }: Model): Promise<void> {
  await send(name, { method: "DELETE", query: { etag, requestId: requestId() } });
}
