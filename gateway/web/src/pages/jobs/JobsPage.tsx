/** All training jobs of the project. */
import { Button, Checkbox } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { jobsQuery } from "../../api/jobs";
import type { TrainingJob } from "../../api/types";
import { Icon } from "../../components/icons";
import { JobBadge } from "../../components/JobBadge";
import { hasEnded } from "../../lib/states";
import { Meter } from "../../components/Meter";
import { More } from "../../components/More";
import { Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { count, int } from "../../lib/format";
import { progressOf } from "../../lib/metrics";
import { baseModelLabel } from "../../lib/models";
import { idOf, lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import { MOST_COMPARED } from "../../lib/compare";
import css from "./jobs.module.css";

const COLUMNS: readonly Column<TrainingJob>[] = [
  {
    name: "Job",
    cell: (job) => <Link to={pages.job(job.name ?? "")}>{job.displayName || lastOf(job.name)}</Link>,
  },
  { name: "State", cell: (job) => <JobBadge state={job.state} /> },
  { name: "Progress", cell: (job) => <Steps job={job} />, wide: true },
  { name: "Data", cell: (job) => <DataLink version={job.spec.datasetVersion} />, wide: true },
  { name: "Base model", cell: (job) => baseModelLabel(job.spec.baseModel), wide: true },
  { name: "Before → after", cell: (job) => <Outcome job={job} />, number: true },
  { name: "Created", cell: (job) => <Ago time={job.createTime} />, number: true, wide: true },
];

export function Component() {
  const list = useInfiniteQuery(jobsQuery(useProject()));
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const choose = (name: string) =>
    setChosen((before) =>
      before.includes(name) ? before.filter((each) => each !== name) : [...before, name],
    );
  const compare: Column<TrainingJob> = {
    name: "Compare",
    wide: true,
    cell: ({ name = "", displayName }) => (
      <Checkbox
        size="xs"
        aria-label={`Compare ${displayName || lastOf(name)}`}
        checked={chosen.includes(name)}
        disabled={!chosen.includes(name) && chosen.length >= MOST_COMPARED}
        onChange={() => choose(name)}
      />
    ),
  };
  const jobs = list.data?.pages.flatMap((page) => page.trainingJobs ?? []) ?? [];
  return (
    <Page
      title="Training jobs"
      actions={
        <>
          {chosen.length > 1 && (
            <Button component={Link} to={pages.compare(chosen)} size="xs" variant="default">
              Compare {chosen.length} jobs
            </Button>
          )}
          <StartButton />
        </>
      }
    >
      {list.isPending && <Loading what="jobs" />}
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isSuccess && jobs.length === 0 && (
        <Empty title="No jobs yet">
          <p>A job trains a model on one version of a dataset, and shows how it learns while it runs.</p>
          <StartButton />
          <p className="muted">
            Or from a terminal: <code>visiontune train --help</code>
          </p>
        </Empty>
      )}
      {jobs.length > 0 && (
        <Panel flush>
          <Table
            label="Training jobs"
            columns={[compare, ...COLUMNS]}
            rows={jobs}
            rowKey={(job) => job.name ?? ""}
          />
          <More of={list} />
        </Panel>
      )}
    </Page>
  );
}

function StartButton() {
  return (
    <Button component={Link} to={pages.newJob()} size="xs" leftSection={<Icon name="plus" size={14} />}>
      Start a job
    </Button>
  );
}

function Steps({ job }: { job: TrainingJob }) {
  const { step, totalSteps, phase } = job.progress ?? {};
  if (int(totalSteps) === 0) return <span className="muted">{phase ?? "–"}</span>;
  return (
    <div className={css.steps}>
      <Meter label="Steps" done={int(step)} total={int(totalSteps)} />
      <span className="muted nowrap">
        {count(step)} / {count(totalSteps)}
        {!hasEnded(job.state) && phase ? ` · ${phase}` : ""}
      </span>
    </div>
  );
}

function DataLink({ version }: { version: string }) {
  if (!version) return null;
  return (
    <Link to={pages.version(version)}>
      {idOf(version, "datasets")} {lastOf(version)}
    </Link>
  );
}

function Outcome({ job }: { job: TrainingJob }) {
  return progressOf(job) ?? <span className="muted">–</span>;
}
