/** Where a version comes from and what was made of it: files, parents, drafts, training jobs. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { jobsOfQuery } from "../../api/jobs";
import { versionsQuery } from "../../api/datasets";
import type { DatasetVersion, TrainingJob } from "../../api/types";
import { Copyable } from "../../components/Copyable";
import { JobBadge } from "../../components/JobBadge";
import { More } from "../../components/More";
import { Columns, Facts, Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { shortDigest } from "../../lib/format";
import { datasetOf, lastOf, pages } from "../../lib/names";

const JOBS: readonly Column<TrainingJob>[] = [
  {
    name: "Job",
    cell: (job) => <Link to={pages.job(job.name ?? "")}>{job.displayName || lastOf(job.name)}</Link>,
  },
  { name: "State", cell: (job) => <JobBadge state={job.state} /> },
  { name: "Started", cell: (job) => <Ago time={job.createTime} />, number: true },
];

export function History({ version }: { version: DatasetVersion }) {
  const name = version.name ?? "";
  const versions = useInfiniteQuery(versionsQuery(datasetOf(name)));
  const children = (versions.data?.pages ?? [])
    .flatMap((page) => page.versions ?? [])
    .filter((row) => row.parentVersion === name);
  return (
    <Columns>
      <Panel title="Where it comes from">
        <Facts
          rows={[
            ["Made", <Ago key="made" time={version.createTime} />],
            ["From the version", version.parentVersion && <VersionLink name={version.parentVersion} />],
            ["By the edits of", lastOf(version.draft)],
            ["From the file", version.sourceFilename],
            [
              "Its sha256",
              version.sourceSha256 && (
                <Copyable value={version.sourceSha256} shown={shortDigest(version.sourceSha256)} />
              ),
            ],
            ["Uploads", version.uploads?.map(lastOf).join(", ")],
            [
              "Versions made of it",
              children.length > 0
                ? children.map((row) => <VersionLink key={row.name} name={row.name ?? ""} />)
                : undefined,
            ],
            [
              "Digest",
              <Copyable key="digest" value={version.digest ?? ""} shown={shortDigest(version.digest)} />,
            ],
          ]}
        />
      </Panel>
      <Jobs version={name} />
    </Columns>
  );
}

function VersionLink({ name }: { name: string }) {
  return <Link to={pages.version(name)}>{lastOf(name)} </Link>;
}

function Jobs({ version }: { version: string }) {
  const list = useInfiniteQuery(jobsOfQuery(version));
  if (list.isPending) return <Loading what="jobs" />;
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  const jobs = list.data.pages.flatMap((page) => page.trainingJobs ?? []);
  return (
    <Panel title="Jobs that train on it" flush={jobs.length > 0}>
      {jobs.length === 0 && <p className="muted">None yet.</p>}
      {jobs.length > 0 && (
        <Table label="Jobs that train on it" columns={JOBS} rows={jobs} rowKey={(job) => job.name ?? ""} />
      )}
      <More of={list} />
    </Panel>
  );
}
