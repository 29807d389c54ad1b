/** One upload on its way, or what stopped it. */
import { Button } from "@mantine/core";
import { Meter } from "../../components/Meter";
import { Panel } from "../../components/Page";
import { Failure } from "../../components/states";
import { bytes } from "../../lib/format";
import { cancelTransfer, continueTransfer, giveUp, type Transfer } from "../../transfer/transfers";
import type { Stage } from "../../transfer/upload";
import css from "./datasets.module.css";
import { Stages } from "./Stages";

const STAGES: readonly { stage: Stage; label: string }[] = [
  { stage: "hashing", label: "Fingerprint" },
  { stage: "uploading", label: "Upload" },
  { stage: "checking", label: "Verify" },
];

export function TransferView({ transfer }: { transfer: Transfer }) {
  const { row, sources, progress, error } = transfer;
  const names = row.files.map((file) => file.filename).join(", ");
  return (
    <Panel title={`${names} → ${row.datasetId}`}>
      <div className={css.transfer}>
        <Stages
          labels={STAGES.map(({ label }) => label)}
          current={STAGES.findIndex(({ stage }) => stage === progress.stage)}
          failed={error !== undefined}
        />
        {error === undefined ? (
          <>
            <Meter label="Upload" done={progress.doneBytes} total={progress.totalBytes} />
            <div className={css.transferHead}>
              <span className="muted" role="status">
                {bytes(progress.doneBytes)} of {bytes(progress.totalBytes)}
              </span>
              <Button size="xs" variant="default" onClick={() => cancelTransfer(transfer.id)}>
                Cancel
              </Button>
            </div>
          </>
        ) : (
          <>
            <Failure error={new Error(error)} retry={() => continueTransfer(row, sources)} />
            <div>
              <Button size="xs" variant="subtle" onClick={() => void giveUp(row)}>
                Give it up
              </Button>
            </div>
          </>
        )}
      </div>
    </Panel>
  );
}
