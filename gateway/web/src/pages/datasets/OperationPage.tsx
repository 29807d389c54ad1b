/** An import as it runs, and what became of it. Its address survives a reload. */
import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link, useParams } from "react-router";
import { cancelOperation, operationQuery, reportQuery } from "../../api/datasets";
import { fromStatus, type Status } from "../../api/errors";
import type { DatasetVersion, ImportStage, ImportVersionMetadata, Operation } from "../../api/types";
import { Meter } from "../../components/Meter";
import { Figures, Page, Panel } from "../../components/Page";
import { Report } from "../../components/Report";
import { Failure, Loading } from "../../components/states";
import { bytes, count, counted, int } from "../../lib/format";
import { lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import css from "./datasets.module.css";
import { Stages } from "./Stages";

const STAGES: readonly { stage: ImportStage; label: string }[] = [
  { stage: "STAGE_QUEUED", label: "Queued" },
  { stage: "STAGE_READING", label: "Read and check" },
  { stage: "STAGE_WRITING", label: "Write shards" },
  { stage: "STAGE_COMMITTING", label: "Commit" },
];

export function Component() {
  const { dataset = "", operation = "" } = useParams();
  const datasetName = `${useProject()}/datasets/${dataset}`;
  const name = `${datasetName}/operations/${operation}`;
  const query = useQuery(operationQuery(name));
  useFreshListsWhenDone(query.data?.done);
  return (
    <Page
      title="Import"
      trail={[
        { to: "/datasets", label: "Datasets" },
        { to: pages.dataset(datasetName), label: dataset },
      ]}
      actions={query.data && !query.data.done && <CancelButton name={name} />}
    >
      {query.isPending && <Loading what="the import" />}
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {query.data && <Import operation={query.data} />}
    </Page>
  );
}

function useFreshListsWhenDone(done: boolean | undefined) {
  const queries = useQueryClient();
  useEffect(() => {
    if (!done) return;
    for (const key of ["dataset", "datasets", "versions", "quota"]) {
      void queries.invalidateQueries({ queryKey: [key] });
    }
  }, [done, queries]);
}

function Import({ operation }: { operation: Operation }) {
  const metadata = (operation.metadata ?? {}) as ImportVersionMetadata;
  const error = operation.error as Status | undefined;
  const version = operation.response as DatasetVersion | undefined;
  return (
    <>
      <Panel>
        <div className={css.progress}>
          <Stages
            labels={STAGES.map(({ label }) => label)}
            current={operation.done && !error ? STAGES.length : stageIndex(metadata.stage)}
            failed={error !== undefined}
          />
          {!operation.done && <Meter label="Import" done={metadata.progressPercent ?? 0} total={100} />}
          {!operation.done && <Figures rows={figures(metadata)} />}
          {int(metadata.restartCount) > 0 && (
            <p className="muted">
              Begun anew {counted(metadata.restartCount, "time")} after a server stopped.
            </p>
          )}
          {error && <Failure error={fromStatus(error)} />}
          {version && <Done version={version} unchanged={metadata.unchanged ?? false} />}
        </div>
      </Panel>
      {metadata.validationReport && <ReportPanel name={metadata.validationReport} />}
    </>
  );
}

/** A failed import is shown failed at the reading, where what fails is found. */
function stageIndex(stage: ImportStage | undefined): number {
  const index = STAGES.findIndex((row) => row.stage === stage);
  return index >= 0 ? index : 1;
}

function figures(metadata: ImportVersionMetadata) {
  return [
    ["Read", `${bytes(metadata.readBytes)} of ${bytes(metadata.totalBytes)}`],
    ["Records", count(metadata.recordCount)],
    ["Images", count(metadata.imageCount)],
    ["Errors", count(metadata.errorCount)],
    ["Warnings", count(metadata.warningCount)],
  ] as const;
}

function Done({ version, unchanged }: { version: DatasetVersion; unchanged: boolean }) {
  const name = version.name ?? "";
  return (
    <div className={css.done}>
      <p>
        {unchanged ? (
          <>
            The same data as <strong>{lastOf(name)}</strong>, so no new version was made.
          </>
        ) : (
          <>
            Version <strong>{lastOf(name)}</strong> is ready: {counted(version.exampleCount, "example")},{" "}
            {counted(version.imageCount, "image")}.
          </>
        )}
      </p>
      <div className={css.formActions}>
        <Button component={Link} to={pages.version(name)} size="xs">
          Look at it
        </Button>
        <Button component={Link} to={pages.newJob(name)} size="xs" variant="default">
          Train on it
        </Button>
      </div>
    </div>
  );
}

function ReportPanel({ name }: { name: string }) {
  const report = useQuery(reportQuery(name));
  if (report.isPending) return <Loading what="the report" />;
  if (report.isError) return <Failure error={report.error} retry={() => void report.refetch()} />;
  return <Report report={report.data} />;
}

function CancelButton({ name }: { name: string }) {
  const cancel = useMutation({ mutationFn: () => cancelOperation(name) });
  if (cancel.isError) return <Failure error={cancel.error} />;
  return (
    <Button size="xs" variant="default" loading={cancel.isPending} onClick={() => cancel.mutate()}>
      {cancel.isSuccess ? "Cancelling…" : "Cancel import"}
    </Button>
  );
}
