/** One version: its examples, its statistics, its report. */
import { Button, Tabs } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { deleteVersion, reportQuery, versionQuery } from "../../api/datasets";
import { createDraft, listDrafts } from "../../api/drafts";
import type { DatasetVersion } from "../../api/types";
import { Confirm } from "../../components/Confirm";
import { Copyable } from "../../components/Copyable";
import { Figures, Page } from "../../components/Page";
import { Report } from "../../components/Report";
import { Failure, Loading } from "../../components/states";
import { bytes, count, int, shortDigest } from "../../lib/format";
import { datasetOf, lastOf, pages } from "../../lib/names";
import { EVERYTHING, paramsOf, viewOf } from "../../lib/view";
import { useProject } from "../../session/project";
import { Changes } from "./Changes";
import { Duplicates } from "./Duplicates";
import { Examples } from "./Examples";
import { ExportButton } from "./ExportButton";
import { History } from "./History";
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
          <>
            <DeleteButton version={name} />
            <ExportButton version={version.data} />
            <EditButton version={name} />
            <Button component={Link} to={pages.newJob(name)} size="xs">
              Train on this version
            </Button>
          </>
        )
      }
    >
      {version.isPending && <Loading what="the version" />}
      {version.isError && <Failure error={version.error} retry={() => void version.refetch()} />}
      {version.data && <Content version={version.data} />}
    </Page>
  );
}

function DeleteButton({ version }: { version: string }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteVersion(version),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["datasets"] });
      await queries.invalidateQueries({ queryKey: ["versions"] });
      await queries.invalidateQueries({ queryKey: ["dataset"] });
      await navigate(pages.dataset(datasetOf(version)));
    },
  });
  return (
    <Confirm
      label="Delete"
      title={`Delete ${lastOf(version)}?`}
      action={remove}
      text="It can be brought back for a while on the page of the dataset. Other versions, with what they share of it, and models trained on it stay."
    />
  );
}

/** Goes on with a draft of this version, or begins one. */
function EditButton({ version }: { version: string }) {
  const [params, setParams] = useSearchParams();
  const dataset = datasetOf(version);
  const edit = useMutation({
    mutationFn: async () => {
      const open = (await listDrafts(dataset)).find((row) => row.baseVersion === version && !row.operation);
      return open ?? (await createDraft(dataset, version));
    },
    onSuccess: (draft) => setParams(paramsOf({ ...viewOf(params), draft: lastOf(draft.name) })),
  });
  if (params.has("draft")) return null;
  if (edit.isError) return <Failure error={edit.error} retry={() => edit.mutate()} />;
  return (
    <Button size="xs" variant="default" loading={edit.isPending} onClick={() => edit.mutate()}>
      Edit
    </Button>
  );
}

const TABS = [
  { value: "examples", label: "Examples" },
  { value: "statistics", label: "Statistics" },
  { value: "duplicates", label: "Duplicates" },
  { value: "report", label: "Report" },
  { value: "changes", label: "Changes" },
  { value: "history", label: "History" },
] as const;

function Content({ version }: { version: DatasetVersion }) {
  const [params, setParams] = useSearchParams();
  const tab = params.get("tab") ?? "examples";
  const addressOf = (value: string | null) => {
    const address = paramsOf({ ...EVERYTHING, draft: params.get("draft") ?? "" });
    if (value && value !== "examples") address.set("tab", value);
    return address;
  };
  return (
    <>
      <Figures rows={figures(version)} />
      <Tabs value={tab} onChange={(value) => setParams(addressOf(value))}>
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
          {tab === "changes" && <Changes version={version} />}
          {tab === "history" && <History version={version} />}
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
