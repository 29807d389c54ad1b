/** What the project stores, how far its limits are, and what it was told about them. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { alertsQuery, quotaQuery } from "../../api/uploads";
import type { Quota, QuotaAlert } from "../../api/types";
import { Meter } from "../../components/Meter";
import { More } from "../../components/More";
import { Facts, Page, Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { bytes, count } from "../../lib/format";
import { limitRows, standingOf } from "../../lib/quota";
import { useProject } from "../../session/project";
import { CleanUp } from "./CleanUp";
import { Egress } from "./Egress";
import { Usage } from "./Usage";
import css from "./storage.module.css";

const LIMITS: Partial<Record<NonNullable<QuotaAlert["limit"]>, string>> = {
  LIMIT_BYTES: "Bytes",
  LIMIT_OBJECTS: "Objects",
  LIMIT_PENDING_UPLOADS: "Uploads under way",
};

const ALERTS: readonly Column<QuotaAlert>[] = [
  { name: "Limit", cell: (alert) => alert.limit && LIMITS[alert.limit] },
  { name: "Reached", cell: (alert) => `${alert.percent ?? 0} %`, number: true },
  {
    name: "Use then",
    cell: ({ limit, used, limitValue }) => {
      const write = limit === "LIMIT_BYTES" ? bytes : count;
      return `${write(used)} of ${write(limitValue)}`;
    },
    number: true,
    wide: true,
  },
  { name: "When", cell: (alert) => <Ago time={alert.createTime} />, number: true },
];

export function Component() {
  const project = useProject();
  const quota = useQuery(quotaQuery(project));
  return (
    <Page title="Storage">
      {quota.isPending && <Loading what="the limits" />}
      {quota.isError && <Failure error={quota.error} retry={() => void quota.refetch()} />}
      {quota.data && <Limits quota={quota.data} />}
      <Usage project={project} />
      <Egress />
      <Alerts project={project} />
      <CleanUp project={project} />
    </Page>
  );
}

function Limits({ quota }: { quota: Quota }) {
  return (
    <Panel title="Limits" aside={<span className="muted">an operator changes them</span>}>
      <div className="stack">
        {limitRows(quota).map((row) => (
          <div key={row.name} className={css.limit} data-standing={standingOf(row)}>
            <div className={css.limitHead}>
              <strong>{row.name}</strong>
              <span>{row.shown}</span>
            </div>
            {row.limit !== undefined && <Meter label={row.name} done={row.used} total={row.limit} />}
          </div>
        ))}
        {(quota.limitDatasets ?? quota.limitImages) && (
          <Facts
            rows={[
              ["Datasets", quota.limitDatasets && `at most ${count(quota.limitDatasets)}`],
              ["Images a version", quota.limitImages && `at most ${count(quota.limitImages)}`],
            ]}
          />
        )}
      </div>
    </Panel>
  );
}

function Alerts({ project }: { project: string }) {
  const list = useInfiniteQuery(alertsQuery(project));
  if (list.isPending) return <Loading what="the alerts" />;
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  const alerts = list.data.pages.flatMap((page) => page.alerts ?? []);
  return (
    <Panel title="Alerts" flush={alerts.length > 0}>
      {alerts.length === 0 && <p className="muted">No limit was approached in the last 90 days.</p>}
      {alerts.length > 0 && (
        <Table label="Alerts" columns={ALERTS} rows={alerts} rowKey={(alert) => alert.name ?? ""} />
      )}
      <More of={list} />
    </Panel>
  );
}
