/** Thumbnails of a version with a filter by split, and one example in a drawer. The address says what is shown. */
import { SegmentedControl } from "@mantine/core";
import { useSearchParams } from "react-router";
import type { DatasetVersion } from "../../api/types";
import { Empty } from "../../components/states";
import { count, int } from "../../lib/format";
import { ExampleDrawer } from "./ExampleDrawer";
import css from "./version.module.css";
import { ThumbnailGrid } from "./ThumbnailGrid";

export function Examples({ version }: { version: DatasetVersion }) {
  const [params, setParams] = useSearchParams();
  const split = params.get("split") ?? "";
  const splits = Object.entries(version.splitCounts ?? {});
  const total = split ? int(version.splitCounts?.[split]) : int(version.exampleCount);
  const at = params.get("at");

  const show = (change: { split?: string; at?: number | undefined }) => {
    const next = new URLSearchParams();
    const nextSplit = change.split ?? split;
    if (nextSplit) next.set("split", nextSplit);
    if (change.at !== undefined) next.set("at", String(change.at));
    setParams(next, { replace: at !== null && change.at !== undefined, preventScrollReset: true });
  };

  return (
    <>
      <div className={css.tools}>
        <SegmentedControl
          size="xs"
          aria-label="Split"
          value={split}
          onChange={(value) => show({ split: value })}
          data={[
            { value: "", label: `All ${count(version.exampleCount)}` },
            ...splits.map(([name, examples]) => ({ value: name, label: `${name} ${count(examples)}` })),
          ]}
        />
      </div>
      {total === 0 ? (
        <Empty title="No example in this split" />
      ) : (
        <ThumbnailGrid
          key={split}
          version={version.name ?? ""}
          split={split}
          total={total}
          open={(index) => show({ at: index })}
        />
      )}
      <ExampleDrawer
        version={version.name ?? ""}
        split={split}
        total={total}
        at={at === null ? undefined : Math.min(total - 1, Math.max(0, int(at)))}
        move={(index) => show({ at: index })}
        close={() => show({})}
      />
    </>
  );
}
