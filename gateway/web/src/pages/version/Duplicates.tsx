/** Images that occur in more than one example: what each example says of them, and whether they cross splits. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { examplesQuery, thumbnailQuery } from "../../api/datasets";
import type { Example } from "../../api/types";
import { More } from "../../components/More";
import { Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { ThumbnailImage } from "../../components/ThumbnailImage";
import { answerOf, leaks, twinsOf, type Twins } from "../../lib/duplicates";
import { count, counted } from "../../lib/format";
import { lastOf, pages } from "../../lib/names";
import css from "./version.module.css";

const SHOWN = 12;

export function Duplicates({ version }: { version: string }) {
  const list = useInfiniteQuery(examplesQuery(version, "duplicate = true"));
  if (list.isPending) return <Loading what="duplicates" lines={8} />;
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  const groups = twinsOf(list.data.pages.flatMap((page) => page.examples ?? []));
  const total = list.data.pages[0]?.totalSize;
  if (groups.length === 0) {
    return (
      <Empty title="No image occurs twice">
        <p>Compared by their bytes. Images that only look alike are among the warnings of the report.</p>
      </Empty>
    );
  }
  return (
    <div className="stack">
      <p>
        {counted(total, "example")} share an image with another, by its bytes. What they say of it should
        agree, and an image of the validation split should not be trained on.
      </p>
      <ul className={css.twins}>
        {groups.map((group) => (
          <Group key={group.sha256} group={group} />
        ))}
      </ul>
      <More of={list} />
    </div>
  );
}

function Group({ group }: { group: Twins }) {
  const { examples, sha256 } = group;
  const agree = new Set(examples.map(answerOf)).size === 1;
  return (
    <li>
      <Panel
        title={`${count(examples.length)} × ${sha256.slice(0, 12)}`}
        aside={
          <span className={leaks(group) ? css.leak : "muted"}>
            {leaks(group) ? "in several splits" : agree ? "same answer" : "answers differ"}
          </span>
        }
      >
        <div className={css.twin}>
          <Picture example={examples[0]?.name ?? ""} />
          <ul className={css.twinList}>
            {examples.slice(0, SHOWN).map((example) => (
              <li key={example.name}>
                <Link to={placeOf(example)}>{example.exampleId}</Link>{" "}
                <span className="muted">{example.split}</span>
                <div className={css.twinText}>{answerOf(example)}</div>
              </li>
            ))}
            {examples.length > SHOWN && <li className="muted">and {count(examples.length - SHOWN)} more</li>}
          </ul>
        </div>
      </Panel>
    </li>
  );
}

/** An example's name ends in its row, which is its place among all. */
function placeOf(example: Example): string {
  const name = example.name ?? "";
  return `${pages.version(name)}?at=${lastOf(name)}`;
}

function Picture({ example }: { example: string }) {
  const { data } = useQuery(thumbnailQuery(example));
  return <div className={css.twinPicture}>{data && <ThumbnailImage thumbnail={data} />}</div>;
}
