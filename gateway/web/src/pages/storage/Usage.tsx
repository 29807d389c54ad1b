/** What is kept now, for whom, and how it grew. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import type { StorageUsage } from "../../api/types";
import { usageQuery } from "../../api/uploads";
import { DayBars } from "../../components/DayBars";
import { Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { bytes, count, enumLabel } from "../../lib/format";
import { lastOf, pages } from "../../lib/names";
import { dayRows } from "../../lib/quota";

type Kind = NonNullable<StorageUsage["kinds"]>[number];
type Owner = NonNullable<StorageUsage["owners"]>[number];

/** Those that keep most; the API tells more. */
const MOST_OWNERS = 20;

const KINDS: readonly Column<Kind>[] = [
  { name: "Kept for", cell: ({ kind }) => enumLabel(kind, "OWNER_KIND_") },
  { name: "Size", cell: ({ sizeBytes }) => bytes(sizeBytes), number: true },
  { name: "Objects", cell: ({ objectCount }) => count(objectCount), number: true, wide: true },
  {
    name: "GiB hours in 30 days",
    cell: ({ gibHours }) => (gibHours ?? 0).toFixed(2),
    number: true,
    wide: true,
  },
  { name: "Cost", cell: ({ cost }) => cost?.toFixed(2) ?? "no price set", number: true },
];

const OWNERS: readonly Column<Owner>[] = [
  { name: "What keeps most", cell: (owner) => <OwnerLink owner={owner} /> },
  { name: "Kind", cell: ({ kind }) => enumLabel(kind, "OWNER_KIND_"), wide: true },
  { name: "Objects", cell: ({ objectCount }) => count(objectCount), number: true, wide: true },
  { name: "Size", cell: ({ sizeBytes }) => bytes(sizeBytes), number: true },
];

export function Usage({ project }: { project: string }) {
  const query = useQuery(usageQuery(project));
  if (query.isPending) return <Loading what="the usage" />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  const { kinds = [], owners = [], days = [] } = query.data;
  return (
    <>
      <Panel title="Usage" flush>
        <Table label="Usage" columns={KINDS} rows={kinds} rowKey={({ kind }) => kind ?? ""} />
      </Panel>
      {days.length > 0 && (
        <Panel title="Day by day">
          <DayBars label="Bytes kept, day by day" days={dayRows(days)} />
        </Panel>
      )}
      {owners.length > 0 && (
        <Panel title="Owners" flush>
          <Table
            label="Owners"
            columns={OWNERS}
            rows={owners.slice(0, MOST_OWNERS)}
            rowKey={({ name }) => name ?? ""}
          />
        </Panel>
      )}
    </>
  );
}

function OwnerLink({ owner: { name = "", kind } }: { owner: Owner }) {
  if (kind === "OWNER_KIND_DATASET") return <Link to={pages.dataset(name)}>{lastOf(name)}</Link>;
  if (kind === "OWNER_KIND_JOB") return <Link to={pages.job(name)}>{lastOf(name)}</Link>;
  return <>{lastOf(name)}</>;
}
