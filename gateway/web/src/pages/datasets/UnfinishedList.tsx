/** Imports that a reload or a closed tab broke off. Choosing the same files again lets them go on. */
import { Button } from "@mantine/core";
import { Panel } from "../../components/Page";
import { Failure } from "../../components/states";
import { Ago } from "../../components/Time";
import { bytes } from "../../lib/format";
import type { Source } from "../../transfer/source";
import type { Unfinished } from "../../transfer/unfinished";
import { FileInput, FolderInput } from "./DropZone";
import css from "./datasets.module.css";

interface ListProps {
  rows: readonly Unfinished[];
  /** Why what was chosen cannot go on, by id. */
  refused: ReadonlyMap<string, string>;
  choose: (row: Unfinished, sources: readonly Source[]) => void;
  dismiss: (row: Unfinished) => void;
}

export function UnfinishedList({ rows, refused, choose, dismiss }: ListProps) {
  return rows.map((row) => {
    const names = row.files.map((file) => file.filename).join(", ");
    const total = row.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    return (
      <Panel key={row.id} title={`${names} → ${row.datasetId}`} aside={<span>Broken off</span>}>
        <div className={css.transfer}>
          <p>
            {bytes(total)}, begun <Ago time={new Date(row.beganAt).toISOString()} />. What has arrived stays
            there for a day. Choose the same file or folder again, or drop it here, to go on.
          </p>
          {refused.has(row.id) && <Failure error={new Error(refused.get(row.id))} />}
          <div className={css.formActions}>
            <label className={css.again}>
              Choose {names}
              <FileInput label={`Continue ${names}`} choose={(sources) => choose(row, sources)} />
            </label>
            <label className={css.folder}>
              Choose the folder
              <FolderInput label={`Continue folder ${names}`} choose={(sources) => choose(row, sources)} />
            </label>
            <Button size="xs" variant="subtle" onClick={() => dismiss(row)}>
              Give it up
            </Button>
          </div>
        </div>
      </Panel>
    );
  });
}
