/** Brings an archive in: choose or drop it, name the dataset, watch it go. */
import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { Navigate, useSearchParams } from "react-router";
import { Columns, Page, Panel } from "../../components/Page";
import { pages } from "../../lib/names";
import { useProject } from "../../session/project";
import { startTransfer, useTransfers } from "../../transfer/transfers";
import { DropZone } from "./DropZone";
import { Formats } from "./Formats";
import { ImportForm } from "./ImportForm";
import { TransferView } from "./TransferView";
import css from "./datasets.module.css";

export function Component() {
  const project = useProject();
  const [params] = useSearchParams();
  const [file, setFile] = useState<File>();
  const [watched, setWatched] = useState<number>();
  const transfers = useTransfers();
  const operation = transfers.find((transfer) => transfer.id === watched)?.operation;
  usePageAsDropTarget(setFile);
  if (operation) return <Navigate to={pages.operation(operation.name ?? "")} replace />;
  return (
    <Page title="Import data" trail={[{ to: "/datasets", label: "Datasets" }]}>
      {transfers
        .filter((transfer) => !transfer.operation)
        .map((transfer) => (
          <TransferView key={transfer.id} transfer={transfer} />
        ))}
      <Columns>
        <Panel>
          <div className={css.form}>
            <DropZone file={file} choose={setFile} />
            {file && (
              <ImportForm
                key={file.name}
                file={file}
                dataset={params.get("dataset") ?? ""}
                start={(datasetId, choices) => {
                  setWatched(startTransfer({ project, datasetId, file, choices }));
                  setFile(undefined);
                }}
                cancel={
                  <Button variant="default" size="sm" onClick={() => setFile(undefined)}>
                    Choose another
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

/** A file dropped beside the zone must not make the browser leave the page and open it. */
function usePageAsDropTarget(choose: (file: File) => void) {
  useEffect(() => {
    const over = (event: DragEvent) => event.preventDefault();
    const drop = (event: DragEvent) => {
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file) choose(file);
    };
    window.addEventListener("dragover", over);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("drop", drop);
    };
  }, [choose]);
}
