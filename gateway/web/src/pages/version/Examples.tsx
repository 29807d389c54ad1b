/** Thumbnails of a version, narrowed by split, search and filter, and one example in a drawer. The address says what is shown. */
import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { thumbnailsQuery } from "../../api/datasets";
import type { DatasetVersion } from "../../api/types";
import { Empty, Failure, Loading } from "../../components/states";
import { int } from "../../lib/format";
import { datasetOf } from "../../lib/names";
import { narrows, paramsOf, viewOf, type View } from "../../lib/view";
import { DraftBar } from "./DraftBar";
import { ExampleDrawer } from "./ExampleDrawer";
import { Filters } from "./Filters";
import { ThumbnailGrid } from "./ThumbnailGrid";
import { DraftProvider, useDraftHandle } from "./useDraft";

export function Examples({ version }: { version: DatasetVersion }) {
  const [params, setParams] = useSearchParams();
  const view = viewOf(params);
  if (!view.draft) return <Shown version={version} />;
  const draft = `${datasetOf(version.name ?? "")}/drafts/${view.draft}`;
  return (
    <InDraft
      key={draft}
      draft={draft}
      version={version}
      leave={() => setParams(paramsOf({ ...view, draft: "" }))}
    />
  );
}

interface InDraftProps {
  draft: string;
  version: DatasetVersion;
  leave: () => void;
}

function InDraft({ draft, version, leave }: InDraftProps) {
  const handle = useDraftHandle(draft);
  return (
    <DraftProvider value={handle}>
      <DraftBar version={version} draft={handle} leave={leave} />
      <Shown version={version} />
    </DraftProvider>
  );
}

function Shown({ version }: { version: DatasetVersion }) {
  const [params, setParams] = useSearchParams();
  const view = viewOf(params);
  const name = version.name ?? "";
  const first = useQuery(thumbnailsQuery(name, view, 0));
  const total = totalOf(version, view) ?? first.data?.total;
  const at = params.get("at");

  const show = (next: View, index?: number) => {
    const address = paramsOf(next);
    if (index !== undefined) address.set("at", String(index));
    setParams(address, { replace: at !== null && index !== undefined, preventScrollReset: true });
  };

  return (
    <>
      <Filters version={version} view={view} total={total} show={show} />
      {first.isError && <Failure error={first.error} retry={() => void first.refetch()} />}
      {total === undefined && first.isPending && <Loading what="examples" lines={8} />}
      {total === 0 && <Empty title={narrows(view) ? "No example matches" : "No example in this split"} />}
      {total !== undefined && total > 0 && !first.isError && (
        <>
          <ThumbnailGrid
            key={paramsOf(view).toString()}
            version={name}
            view={view}
            total={total}
            open={(index) => show(view, index)}
          />
          <ExampleDrawer
            version={name}
            view={view}
            total={total}
            at={at === null ? undefined : Math.min(total - 1, Math.max(0, int(at)))}
            move={(index) => show(view, index)}
            close={() => show(view)}
          />
        </>
      )}
    </>
  );
}

/** What the version itself knows, so that the grid need not wait to be asked. */
function totalOf(version: DatasetVersion, view: View): number | undefined {
  if (narrows(view)) return undefined;
  return view.split ? int(version.splitCounts?.[view.split]) : int(version.exampleCount);
}
