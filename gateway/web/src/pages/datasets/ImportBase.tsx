/** Whether the new version stands by itself or goes on from one that the dataset has. */
import { NativeSelect, SegmentedControl } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { datasetsQuery, versionsQuery, type ImportChoices } from "../../api/datasets";
import type { ImportMode } from "../../api/types";
import { count } from "../../lib/format";
import { lastOf } from "../../lib/names";
import css from "./datasets.module.css";

export type Base = Pick<ImportChoices, "baseVersion" | "mode">;

const MODES: { value: ImportMode; label: string }[] = [
  { value: "IMPORT_MODE_APPEND", label: "It is an error" },
  { value: "IMPORT_MODE_REPLACE", label: "Replace the old one" },
];

interface ImportBaseProps {
  project: string;
  /** Id of the dataset; nothing is shown while there is none of it. */
  dataset: string;
  /** Whether it is known to exist. */
  known: boolean;
  base: Base;
  choose: (base: Base) => void;
}

export function ImportBase({ project, dataset, known, base, choose }: ImportBaseProps) {
  const name = `${project}/datasets/${dataset}`;
  const datasets = useInfiniteQuery({ ...datasetsQuery(project), enabled: !known });
  const listed = datasets.data?.pages.some((page) => page.datasets?.some((each) => each.name === name));
  const exists = known || listed === true;
  const list = useInfiniteQuery({ ...versionsQuery(name), enabled: exists });
  const versions = exists ? (list.data?.pages.flatMap((page) => page.versions ?? []) ?? []) : [];
  if (!exists) return null;
  return (
    <>
      <NativeSelect
        label="Goes on from"
        description="The examples of that version are in the new one, too; what did not change is shared."
        value={base.baseVersion ?? ""}
        // There from the begin, so that nothing below moves under the pointer when the versions arrive.
        disabled={versions.length === 0}
        onChange={(event) => {
          const baseVersion = event.currentTarget.value;
          choose(baseVersion ? { baseVersion, mode: base.mode ?? "IMPORT_MODE_APPEND" } : {});
        }}
        data={[
          { value: "", label: "No version: only what is imported now" },
          ...versions.map((version) => ({
            value: version.name ?? "",
            label: `${lastOf(version.name)}, ${count(version.exampleCount)} examples`,
          })),
        ]}
      />
      {base.mode && (
        <div>
          <label className={css.label} id="import-mode">
            When an example with the same id is there
          </label>
          <SegmentedControl
            aria-labelledby="import-mode"
            size="sm"
            data={MODES}
            value={base.mode}
            onChange={(mode) => choose({ ...base, mode })}
          />
        </div>
      )}
    </>
  );
}
