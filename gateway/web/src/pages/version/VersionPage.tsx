/** One version: its examples, its statistics, its report. */
import { Button, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearchParams } from "react-router";
import { reportQuery, versionQuery } from "../../api/datasets";
import type { DatasetVersion } from "../../api/types";
import { Copyable } from "../../components/Copyable";
import { Figures, Page } from "../../components/Page";
import { Report } from "../../components/Report";
import { Failure, Loading } from "../../components/states";
import { bytes, count, int, shortDigest } from "../../lib/format";
import { pages } from "../../lib/names";
import { useProject } from "../../session/project";
import { Duplicates } from "./Duplicates";
import { Examples } from "./Examples";
import { StatisticsView } from "./StatisticsView";

export function Component() {
  const { dataset = "", version: id = "" } = useParams();
  const datasetName = `${useProject()}/datasets/${dataset}`;
  const name = `${datasetName}/versions/${id}`;
  const version = useQuery(versionQuery(name));
  return (
    <Page
      title={`${dataset} ${id}`}
      trail={[
        { to: "/datasets", label: "Datasets" },
        { to: pages.dataset(datasetName), label: dataset },
      ]}
      aside={
        version.data?.digest && (
          <Copyable value={version.data.digest} shown={shortDigest(version.data.digest)} />
        )
      }
      actions={
        version.isSuccess && (
          <Button component={Link} to={pages.newJob(name)} size="xs">
            Train on this version
          </Button>
        )
      }
    >
      {version.isPending && <Loading what="the version" />}
      {version.isError && <Failure error={version.error} retry={() => void version.refetch()} />}
      {version.data && <Content version={version.data} />}
    </Page>
  );
}

const TABS = [
  { value: "examples", label: "Examples" },
  { value: "statistics", label: "Statistics" },
  { value: "duplicates", label: "Duplicates" },
  { value: "report", label: "Report" },
] as const;

function Content({ version }: { version: DatasetVersion }) {
  const [params, setParams] = useSearchParams();
  const tab = params.get("tab") ?? "examples";
  return (
    <>
      <Figures rows={figures(version)} />
      <Tabs value={tab} onChange={(value) => setParams(value && value !== "examples" ? { tab: value } : {})}>
        <Tabs.List mb="md">
          {TABS.map(({ value, label }) => (
            <Tabs.Tab key={value} value={value}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={tab}>
          {tab === "examples" && <Examples version={version} />}
          {tab === "statistics" && <StatisticsView version={version.name ?? ""} />}
          {tab === "duplicates" && <Duplicates version={version.name ?? ""} />}
          {tab === "report" && <ReportTab name={version.validationReport ?? ""} />}
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function figures(version: DatasetVersion) {
  return [
    ["Examples", count(version.exampleCount)],
    ["Distinct images", count(version.imageCount)],
    ...Object.entries(version.splitCounts ?? {}).map(
      ([split, examples]) => [split, count(examples)] as const,
    ),
    ["Size", bytes(version.sizeBytes)],
    ["Shards", int(version.shardCount)],
    ["Format", version.format],
  ] as const;
}

function ReportTab({ name }: { name: string }) {
  const report = useQuery(reportQuery(name));
  if (report.isPending) return <Loading what="the report" />;
  if (report.isError) return <Failure error={report.error} retry={() => void report.refetch()} />;
  return (
    <div className="stack">
      <Report report={report.data} />
    </div>
  );
}
