/** Brings data in: choose or drop it, name the dataset, watch it go; or go on with what was broken off. */
import { Button } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { Navigate, useSearchParams } from "react-router";
import { Columns, Page, Panel } from "../../components/Page";
import { pages } from "../../lib/names";
import { useProject } from "../../session/project";
import type { Source } from "../../transfer/source";
import { continueTransfer, giveUp, startTransfer, useTransfers } from "../../transfer/transfers";
import { inOrderOf, unfinished, type Unfinished } from "../../transfer/unfinished";
import { DropZone } from "./DropZone";
import { Formats } from "./Formats";
import { ImportForm } from "./ImportForm";
import { TransferView } from "./TransferView";
import { UnfinishedList } from "./UnfinishedList";
import css from "./datasets.module.css";

const NOT_THE_SAME = "This is not what was being sent: its name, size or date of change differs.";

export function Component() {
  const project = useProject();
  const [params] = useSearchParams();
  const [sources, setSources] = useState<readonly Source[]>([]);
  const [watched, setWatched] = useState<string>();
  const [refused, setRefused] = useState<ReadonlyMap<string, string>>(new Map());
  const transfers = useTransfers();
  const brokenOff = useBrokenOff(project);
  const goOn = useCallback((row: Unfinished, chosen: readonly Source[]) => {
    const ordered = inOrderOf(row, chosen);
    if (ordered) setWatched(continueTransfer(row, ordered));
    else setRefused((before) => new Map(before).set(row.id, NOT_THE_SAME));
  }, []);
  const choose = useCallback(
    (chosen: readonly Source[]) => {
      const known = brokenOff.rows.find((row) => inOrderOf(row, chosen));
      if (known) goOn(known, chosen);
      else setSources((before) => withoutTwins([...before, ...chosen]));
    },
    [brokenOff.rows, goOn],
  );
  const operation = transfers.find((transfer) => transfer.id === watched)?.operation;
  if (operation) return <Navigate to={pages.operation(operation.name ?? "")} replace />;
  const first = sources[0];
  return (
    <Page title="Import data" trail={[{ to: "/datasets", label: "Datasets" }]}>
      {transfers
        .filter((transfer) => !transfer.operation)
        .map((transfer) => (
          <TransferView key={transfer.id} transfer={transfer} />
        ))}
      <UnfinishedList
        rows={brokenOff.rows}
        refused={refused}
        choose={goOn}
        dismiss={(row) => void giveUp(row).finally(brokenOff.look)}
      />
      <Columns>
        <Panel>
          <div className={css.form}>
            <DropZone
              sources={sources}
              choose={choose}
              remove={(gone) => setSources(sources.filter((source) => source !== gone))}
            />
            {first && (
              <ImportForm
                key={first.file.name}
                project={project}
                filename={first.file.name}
                dataset={params.get("dataset") ?? ""}
                start={(datasetId, choices) => {
                  setWatched(startTransfer({ project, datasetId, choices }, sources));
                  setSources([]);
                }}
                cancel={
                  <Button variant="default" size="sm" onClick={() => setSources([])}>
                    Start over
                  </Button>
                }
              />
            )}
          </div>
        </Panel>
        <Formats />
      </Columns>
    </Page>
  );
}

/** The same file chosen twice is one. */
function withoutTwins(sources: readonly Source[]): Source[] {
  return [...new Map(sources.map((source) => [source.identity, source])).values()];
}

/** What the browser remembers and no tab is busy with. */
function useBrokenOff(project: string): { rows: readonly Unfinished[]; look: () => void } {
  const queries = useQueryClient();
  const transfers = useTransfers();
  const queryKey = ["unfinished", project];
  const remembered = useQuery({ queryKey, queryFn: () => unfinished(project), retry: false });
  const here = new Set(transfers.map((transfer) => transfer.id));
  return {
    rows: (remembered.data ?? []).filter((row) => !here.has(row.id)),
    look: () => void queries.invalidateQueries({ queryKey }),
  };
}
