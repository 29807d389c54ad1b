/** Several jobs on one page: their curves over each other, what they reached, and in what their specs differ. */
import { useQueries } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { jobQuery, metricsQuery } from "../../api/jobs";
import type { MetricPoint, TrainingJob } from "../../api/types";
import { JobBadge } from "../../components/JobBadge";
import { hasEnded } from "../../lib/states";
import { LineChart, type Line } from "../../components/LineChart";
import { Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { differences, MOST_COMPARED, type Difference } from "../../lib/compare";
import { int } from "../../lib/format";
import { seriesOf } from "../../lib/history";
import { CHARTS, progressOf } from "../../lib/metrics";
import { lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import css from "./jobs.module.css";

/** One a job. */
const COLORS = [
  "--chart-1",
  "--chart-2",
  "--chart-3",
  "--chart-4",
  "--chart-5",
  "--chart-6",
] as const satisfies readonly Line["color"][];
const ASK_EVERY_MS = 3000;

export function Component() {
  const project = useProject();
  const [params] = useSearchParams();
  const names = [...new Set(params.getAll("job"))].slice(0, MOST_COMPARED);
  const jobs = useQueries({
    queries: names.map((id) => ({
      ...jobQuery(`${project}/trainingJobs/${id}`),
      refetchInterval: (query: { state: { data?: TrainingJob | undefined } }) =>
        hasEnded(query.state.data?.state) ? (false as const) : ASK_EVERY_MS,
    })),
  });
  const metrics = useQueries({
    queries: names.map((id, index) => ({
      ...metricsQuery(`${project}/trainingJobs/${id}`),
      refetchInterval: hasEnded(jobs[index]?.data?.state) ? (false as const) : ASK_EVERY_MS,
    })),
  });
  const queries = [...jobs, ...metrics];
  const error = queries.find((query) => query.error)?.error;
  const found = jobs.flatMap((query) => query.data ?? []);
  return (
    <Page title="Compare jobs" trail={[{ to: "/jobs", label: "Jobs" }]}>
      {names.length < 2 && (
        <Empty title="Nothing to compare yet">
          <Link to="/jobs">Choose two jobs or more in the list.</Link>
        </Empty>
      )}
      {error && (
        <Failure error={error} retry={() => void Promise.all(queries.map((query) => query.refetch()))} />
      )}
      {!error && queries.some((query) => query.isPending) && <Loading what="the jobs" lines={8} />}
      {names.length > 1 && found.length === names.length && (
        <>
          <Reached jobs={found} />
          <Panel title="Curves">
            <Curves jobs={found} points={metrics.map((query) => query.data ?? [])} />
          </Panel>
          <Differing jobs={found} />
        </>
      )}
    </Page>
  );
}

/** Names that tell the jobs apart. */
function labelsOf(jobs: readonly TrainingJob[]): string[] {
  const shown = jobs.map((job) => job.displayName || lastOf(job.name));
  return jobs.map((job, index) => {
    const label = shown[index] ?? "";
    return shown.indexOf(label) === shown.lastIndexOf(label) ? label : `${label} (${lastOf(job.name)})`;
  });
}

function Reached({ jobs }: { jobs: readonly TrainingJob[] }) {
  const labels = labelsOf(jobs);
  const columns: Column<TrainingJob>[] = [
    { name: "Job", cell: (job) => <Link to={pages.job(job.name ?? "")}>{labels[jobs.indexOf(job)]}</Link> },
    { name: "State", cell: (job) => <JobBadge state={job.state} />, wide: true },
    { name: "Before → after", cell: (job) => progressOf(job) ?? "–", number: true },
  ];
  return (
    <Panel flush>
      <Table label="Compared jobs" columns={columns} rows={jobs} rowKey={(job) => job.name ?? ""} />
    </Panel>
  );
}

function Curves({ jobs, points }: { jobs: readonly TrainingJob[]; points: readonly MetricPoint[][] }) {
  const labels = labelsOf(jobs);
  const lastStep = Math.max(0, ...points.map((each) => int(each.at(-1)?.step)));
  const charts = CHARTS.flatMap(({ title, curves, write, range, unit = 1 }) =>
    curves.map(({ metric, name }) => ({
      title: curves.length > 1 ? `${title}, ${name}` : title,
      write,
      range,
      lines: jobs.map((_, index) => ({
        name: labels[index] ?? "",
        color: COLORS[index] ?? COLORS[0],
        samples: seriesOf(points[index] ?? [], metric).map(({ x, y }) => ({ x, y: y / unit })),
      })),
    })),
  ).filter(({ lines }) => lines.some(({ samples }) => samples.length > 0));
  if (charts.length === 0) return <p className="muted">Nothing measured yet.</p>;
  return (
    <div className={css.charts}>
      {charts.map(({ title, lines, write, range }) => (
        <LineChart
          key={title}
          title={title}
          lines={lines}
          lastStep={lastStep}
          format={write}
          {...(range && { range })}
        />
      ))}
    </div>
  );
}

function Differing({ jobs }: { jobs: readonly TrainingJob[] }) {
  const rows = differences(jobs.map((job) => job.resolvedSpec ?? job.spec));
  const columns: Column<Difference>[] = [
    { name: "Field", cell: ({ field }) => <code>{field}</code> },
    ...labelsOf(jobs).map((name, index) => ({
      name,
      cell: ({ values }: Difference) => <span className={css.value}>{values[index] ?? "–"}</span>,
    })),
  ];
  return (
    <Panel title="What differs" flush={rows.length > 0}>
      {rows.length === 0 ? (
        <p className="muted">They were asked for the same.</p>
      ) : (
        <div className={css.scrolls} tabIndex={0} role="group" aria-label="What differs between the jobs">
          <Table label="What differs" columns={columns} rows={rows} rowKey={({ field }) => field} />
        </div>
      )}
    </Panel>
  );
}
