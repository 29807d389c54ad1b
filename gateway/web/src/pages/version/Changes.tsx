/** What a version changed against another: examples that came, went, or differ, and in what. */
import { Select } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { changesQuery, thumbnailQuery, versionsQuery } from "../../api/datasets";
import type { DatasetVersion, Example, ExampleChange } from "../../api/types";
import { More } from "../../components/More";
import { Figures, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { ThumbnailImage } from "../../components/ThumbnailImage";
import { wordDiff } from "../../lib/diff";
import { labelOfText } from "../../lib/draft";
import { count } from "../../lib/format";
import { datasetOf, lastOf, pages } from "../../lib/names";
import css from "./version.module.css";

export function Changes({ version }: { version: DatasetVersion }) {
  const [params, setParams] = useSearchParams();
  const name = version.name ?? "";
  const dataset = datasetOf(name);
  const asked = params.get("base") ?? "";
  const versions = useInfiniteQuery(versionsQuery(dataset));
  const list = useInfiniteQuery(changesQuery(name, asked && `${dataset}/versions/${asked}`));
  const others = (versions.data?.pages ?? [])
    .flatMap((page) => page.versions ?? [])
    .map((row) => lastOf(row.name))
    .filter((id) => id !== lastOf(name));
  if (list.isPending) return <Loading what="changes" lines={8} />;
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  const first = list.data.pages[0];
  const changes = list.data.pages.flatMap((page) => page.changes ?? []);
  if (!first?.base) return <Empty title="There is no other version to compare it with" />;
  return (
    <div className="stack">
      <div className={css.filters}>
        <Select
          size="xs"
          label="Compared with"
          data={others}
          value={lastOf(first.base)}
          onChange={(base) => setParams({ tab: "changes", ...(base && { base }) })}
          allowDeselect={false}
        />
        <Figures
          rows={[
            ["Came", count(first.addedCount)],
            ["Went", count(first.removedCount)],
            ["Differ", count(first.changedCount)],
          ]}
        />
      </div>
      {changes.length === 0 && <Empty title="Both hold the same examples" />}
      {changes.map((change) => (
        <Change key={change.exampleId} change={change} />
      ))}
      <More of={list} />
    </div>
  );
}

function Change({ change }: { change: ExampleChange }) {
  const { before, after, exampleId = "", fields = [] } = change;
  const shown = after ?? before ?? {};
  const what = !before ? "came" : !after ? "went" : fields.join(", ");
  return (
    <Panel
      title={exampleId}
      aside={
        <span className={css.changeKind} data-kind={!before ? "new" : !after ? "gone" : "same"}>
          {what}
        </span>
      }
    >
      <div className={css.twin}>
        <Picture example={shown.name ?? ""} />
        <div className={css.changeLines}>
          {linesOf(before, after).map(([label, from, to]) => (
            <div key={label}>
              <span className={css.role}>{label}</span>
              <div className={css.text}>
                {wordDiff(from, to).map(({ text, kind }, place) => (
                  <span key={place} className={css[kind]}>
                    {text}
                  </span>
                ))}
              </div>
            </div>
          ))}
          <Link to={placeOf(shown)}>Look at it in {lastOf(pages.version(shown.name ?? ""))}</Link>
        </div>
      </div>
    </Panel>
  );
}

/** The texts that differ, and split and tags where they do; all texts of one that came or went. */
function linesOf(before: Example | undefined, after: Example | undefined): [string, string, string][] {
  const [from, to] = [textsOf(before), textsOf(after)];
  const labels = [...new Set([...from.keys(), ...to.keys()])];
  return labels
    .map((label): [string, string, string] => [label, from.get(label) ?? "", to.get(label) ?? ""])
    .filter(([, old, next]) => old !== next);
}

function textsOf(example: Example | undefined): Map<string, string> {
  const texts = new Map<string, string>();
  if (!example) return texts;
  (example.messages ?? []).forEach((message, at) => {
    const parts = (message.content ?? []).map((part) => (part.type === "TYPE_TEXT" ? part.text : "▣"));
    texts.set(`${at + 1} ${message.role}`, parts.join(" "));
  });
  (example.texts ?? []).forEach((text, at) => texts.set(labelOfText(example, at), text));
  texts.set("split", example.split ?? "");
  texts.set("tags", (example.tags ?? []).join(", "));
  texts.set("images", (example.images ?? []).map((image) => image.path).join(", "));
  return texts;
}

function placeOf(example: Example): string {
  const name = example.name ?? "";
  return `${pages.version(name)}?at=${lastOf(name)}`;
}

function Picture({ example }: { example: string }) {
  const { data } = useQuery(thumbnailQuery(example));
  return <div className={css.twinPicture}>{data && <ThumbnailImage thumbnail={data} />}</div>;
}
