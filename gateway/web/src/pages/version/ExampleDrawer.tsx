/** One example beside the grid: its images, its conversation, its facts. Arrow keys go to the next. */
import { Drawer } from "@mantine/core";
import { noop, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { exampleImageQuery, exampleQuery, THUMBNAIL_PAGE, thumbnailsQuery } from "../../api/datasets";
import { Icon } from "../../components/icons";
import { Failure, Loading } from "../../components/states";
import { useShortcuts } from "../../components/useShortcuts";
import { count } from "../../lib/format";
import type { View } from "../../lib/view";
import { ExampleView } from "./ExampleView";
import css from "./version.module.css";

interface DrawerProps {
  version: string;
  view: View;
  total: number;
  /** Place of the example among those of the view; closed when absent. */
  at: number | undefined;
  move: (index: number) => void;
  close: () => void;
}

export function ExampleDrawer({ version, view, total, at, move, close }: DrawerProps) {
  const go = (step: number) => {
    if (at !== undefined && at + step >= 0 && at + step < total) move(at + step);
  };
  useShortcuts(at === undefined ? {} : { previous: () => go(-1), next: () => go(1) });
  return (
    <Drawer.Root opened={at !== undefined} onClose={close} position="right" size="md" lockScroll={false}>
      <Drawer.Overlay backgroundOpacity={0.25} />
      <Drawer.Content>
        <Drawer.Header className={css.drawerHead}>
          <Drawer.Title>
            Example {at === undefined ? "" : count(at + 1)} <span className="muted">of {count(total)}</span>
          </Drawer.Title>
          <div className={css.drawerMoves}>
            <button
              type="button"
              className={css.move}
              disabled={!at}
              onClick={() => go(-1)}
              aria-label="Previous example"
            >
              <Icon name="left" />
            </button>
            <button
              type="button"
              className={css.move}
              disabled={at === total - 1}
              onClick={() => go(1)}
              aria-label="Next example"
            >
              <Icon name="right" />
            </button>
            <Drawer.CloseButton aria-label="Close" />
          </div>
        </Drawer.Header>
        <Drawer.Body>
          {at !== undefined && <ExampleAt key={at} version={version} view={view} at={at} />}
        </Drawer.Body>
      </Drawer.Content>
    </Drawer.Root>
  );
}

function ExampleAt({ version, view, at }: { version: string; view: View; at: number }) {
  const name = useNameAt(version, view, at);
  const next = useNameAt(version, view, at + 1);
  const example = useQuery({ ...exampleQuery(name.data ?? ""), enabled: name.data !== undefined });
  usePreload(next.data);
  const error = name.error ?? example.error;
  if (error) return <Failure error={error} retry={() => void example.refetch()} />;
  if (!example.data) return <Loading what="the example" lines={8} />;
  return <ExampleView example={example.data} />;
}

/** The thumbnails say which example stands at a place of the view. */
function useNameAt(version: string, view: View, at: number) {
  const page = Math.floor(at / THUMBNAIL_PAGE);
  return useQuery({
    ...thumbnailsQuery(version, view, page),
    select: ({ thumbnails }) => thumbnails[at - page * THUMBNAIL_PAGE]?.example,
  });
}

/** The next example is fetched while this one is read. */
function usePreload(name: string | undefined) {
  const queries = useQueryClient();
  useEffect(() => {
    if (name === undefined) return;
    queries.query(exampleQuery(name)).catch(noop);
    queries.query(exampleImageQuery(name, 0)).catch(noop);
  }, [name, queries]);
}
