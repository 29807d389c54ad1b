/** Starts a job: an empty form, the copy of a job, or one that goes on from a job. */
import { Button } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { datasetsQuery, versionQuery } from "../../api/datasets";
import { acceleratorsQuery, familiesQuery, jobQuery, jobsQuery } from "../../api/jobs";
import { modelsQuery } from "../../api/models";
import type { TrainingJob } from "../../api/types";
import { Page } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { kindsOf } from "../../lib/families";
import { switchedOff } from "../../lib/formats";
import { formOf, goingOnFrom } from "../../lib/jobCopy";
import { EMPTY_FORM, type FormValues } from "../../lib/jobForm";
import { jobOf } from "../../lib/names";
import { keepsCheckpoint } from "../../lib/states";
import { useProject } from "../../session/project";
import { acceleratorOf, firstFit, versionChoice } from "./choices";
import { JobForm } from "./JobForm";
import css from "./jobs.module.css";

export function Component() {
  const project = useProject();
  const [params] = useSearchParams();
  const resumed = params.get("resume") ?? "";
  const copied = jobOf(resumed) || (params.get("from") ?? "");
  const earlier = useQuery({ ...jobQuery(copied), enabled: copied !== "" });
  const jobs = useInfiniteQuery({ ...jobsQuery(project), refetchInterval: false });
  const datasets = useInfiniteQuery(datasetsQuery(project));
  const models = useInfiniteQuery(modelsQuery(project));
  const accelerators = useQuery(acceleratorsQuery(project));
  const families = useQuery(familiesQuery);
  const off = switchedOff(
    (families.data ?? []).map((row) => ({ name: row.family ?? "", reason: row.unavailableReason ?? "" })),
  );
  const latest = datasets.data?.pages
    .flatMap((page) => page.datasets ?? [])
    .flatMap((row) => row.latestVersion ?? []);
  const asked = params.get("version") ?? earlier.data?.spec.datasetVersion ?? "";
  const versions = [...new Set([...(asked ? [asked] : []), ...(latest ?? [])])].map(versionChoice);
  const first = useQuery({ ...versionQuery(versions[0]?.value ?? ""), enabled: versions.length > 0 });
  const bases = models.data?.pages.flatMap((page) => page.models ?? []);
  const queries = [datasets, models, jobs, accelerators, families, ...(copied ? [earlier] : [])];
  const kept = (jobs.data?.pages ?? []).flatMap((page) => page.trainingJobs ?? []).filter(keepsCheckpoint);
  const error = queries.find((query) => query.error)?.error;
  const ready = queries.every((query) => query.isSuccess) && !first.isLoading;
  return (
    <Page title="Start a job" trail={[{ to: "/jobs", label: "Jobs" }]}>
      {off && <p className={css.unavailable}>{off}</p>}
      {error && (
        <Failure error={error} retry={() => void Promise.all(queries.map((query) => query.refetch()))} />
      )}
      {!error && !ready && <Loading what="the form" />}
      {datasets.isSuccess && versions.length === 0 && (
        <Empty title="There is no data to train on yet">
          <Button component={Link} to="/datasets/import" size="xs">
            Import data
          </Button>
        </Empty>
      )}
      {ready && bases && accelerators.data && families.data && versions.length > 0 && (
        <JobForm
          key={resumed || copied}
          versions={versions}
          models={bases}
          families={families.data}
          accelerators={accelerators.data.map(acceleratorOf)}
          earlier={kept}
          start={startOf(
            versions[0]?.value ?? "",
            earlier.data,
            resumed,
            params.get("base") ?? firstFit(bases, families.data, kindsOf(first.data)),
          )}
        />
      )}
    </Page>
  );
}

/** What the form shows first: a job to go on from, a job that is copied, or a base model for the data. */
function startOf(version: string, job: TrainingJob | undefined, resumed: string, base: string): FormValues {
  if (job && resumed) return { ...goingOnFrom(job, resumed), datasetVersion: version };
  if (job) return { ...formOf(job.spec), datasetVersion: version };
  return { ...EMPTY_FORM, datasetVersion: version, base };
}
