/** Thumbnails of all examples of a view; only the visible rows exist. Arrow keys walk, Enter opens. */
import { useElementSize } from "@mantine/hooks";
import { useQueries } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { memo, useLayoutEffect, useRef, useState, type KeyboardEvent, type MouseEvent } from "react";
import { THUMBNAIL_PAGE, thumbnailsQuery } from "../../api/datasets";
import type { Thumbnail } from "../../api/types";
import { Failure } from "../../components/states";
import { ThumbnailImage } from "../../components/ThumbnailImage";
import { actionOf } from "../../lib/shortcuts";
import type { View } from "../../lib/view";
import css from "./version.module.css";

const TILE_PX = 104;
const GAP_PX = 8;

interface GridProps {
  version: string;
  view: View;
  total: number;
  open: (index: number) => void;
}

export function ThumbnailGrid(props: GridProps) {
  const { ref, width } = useElementSize();
  return <div ref={ref}>{width > 0 && <Rows {...props} width={width} />}</div>;
}

function Rows({ version, view, total, open, width }: GridProps & { width: number }) {
  "use no memo"; // The virtualizer hands out functions that must be called anew at every scroll.
  const list = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [focus, setFocus] = useState(0);
  const columns = Math.max(3, Math.floor((width + GAP_PX) / (TILE_PX + GAP_PX)));
  const tile = (width - (columns - 1) * GAP_PX) / columns;
  const rowHeight = tile + GAP_PX;
  useLayoutEffect(() => setTop(list.current?.offsetTop ?? 0), []);
  const virtualizer = useWindowVirtualizer({
    count: Math.ceil(total / columns),
    estimateSize: () => rowHeight,
    overscan: 3,
    scrollMargin: top,
  });
  useLayoutEffect(() => virtualizer.measure(), [virtualizer, rowHeight]);

  const rows = virtualizer.getVirtualItems();
  const firstPage = Math.floor(((rows[0]?.index ?? 0) * columns) / THUMBNAIL_PAGE);
  const lastIndex = Math.min(total, ((rows.at(-1)?.index ?? 0) + 1) * columns) - 1;
  const lastPage = Math.floor(lastIndex / THUMBNAIL_PAGE);
  // One page more than what is seen, so that scrolling on finds it there.
  const pages = Array.from({ length: lastPage - firstPage + 2 }, (_, index) => firstPage + index).filter(
    (page) => page * THUMBNAIL_PAGE < total,
  );
  const results = useQueries({ queries: pages.map((page) => thumbnailsQuery(version, view, page)) });
  const thumbnailAt = (index: number): Thumbnail | undefined => {
    const page = Math.floor(index / THUMBNAIL_PAGE);
    return results[page - firstPage]?.data?.thumbnails[index - page * THUMBNAIL_PAGE];
  };

  const walkTo = (next: number) => {
    if (next < 0 || next >= total) return;
    setFocus(next);
    virtualizer.scrollToIndex(Math.floor(next / columns));
    const tile = () => list.current?.querySelector<HTMLElement>(`[data-index="${next}"]`);
    // A row that was out of sight exists only after the next frame.
    if (tile()) tile()?.focus({ preventScroll: true });
    else requestAnimationFrame(() => tile()?.focus({ preventScroll: true }));
  };
  const press = (event: KeyboardEvent) => {
    const act = actionOf(event.key, {
      left: () => walkTo(focus - 1),
      right: () => walkTo(focus + 1),
      up: () => walkTo(focus - columns),
      down: () => walkTo(focus + columns),
      first: () => walkTo(0),
      last: () => walkTo(total - 1),
    });
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  };
  // One listener for all tiles: a tile is drawn again only when its picture or its size changes.
  const click = (event: MouseEvent) => {
    const index = (event.target as Element).closest<HTMLElement>("[data-index]")?.dataset["index"];
    if (index === undefined) return;
    setFocus(Number(index));
    open(Number(index));
  };

  const failed = results.find((result) => result.isError);
  return (
    <>
      {failed && <Failure error={failed.error} retry={() => void failed.refetch()} />}
      <div
        ref={list}
        className={css.grid}
        style={{ height: virtualizer.getTotalSize() }}
        role="group"
        aria-label={`${total} thumbnails`}
        onKeyDown={press}
        onClick={click}
      >
        {rows.map((row) => (
          <div
            key={row.key}
            className={css.row}
            style={{ height: tile, transform: `translateY(${row.start - top}px)`, gap: GAP_PX }}
          >
            {Array.from({ length: columns }, (_, column) => row.index * columns + column)
              .filter((index) => index < total)
              .map((index) => (
                <Tile
                  key={index}
                  index={index}
                  size={tile}
                  thumbnail={thumbnailAt(index)}
                  focusable={index === focus}
                />
              ))}
          </div>
        ))}
      </div>
    </>
  );
}

interface TileProps {
  index: number;
  size: number;
  thumbnail: Thumbnail | undefined;
  focusable: boolean;
}

const Tile = memo(function Tile({ index, size, thumbnail, focusable }: TileProps) {
  return (
    <button
      type="button"
      className={css.tile}
      style={{ width: size, height: size }}
      data-index={index}
      tabIndex={focusable ? 0 : -1}
      aria-label={`Example ${index + 1}`}
    >
      {thumbnail && <ThumbnailImage thumbnail={thumbnail} />}
      <span className={css.number} aria-hidden="true">
        {index + 1}
      </span>
    </button>
  );
});
