/** A thumbnail as the API sends it. */
import type { Thumbnail } from "../api/types";
import { int } from "../lib/format";
import css from "./ThumbnailImage.module.css";

/** Images no larger than this are shown as the pixels that they are. */
export const PIXEL_ART_PX = 64;

export function ThumbnailImage({ thumbnail }: { thumbnail: Thumbnail }) {
  if (!thumbnail.data) return <span className={css.none}>text</span>;
  const small = Math.max(int(thumbnail.widthPx), int(thumbnail.heightPx)) <= PIXEL_ART_PX;
  return (
    <img
      className={small ? css.pixels : undefined}
      src={`data:${thumbnail.contentType ?? "image/jpeg"};base64,${thumbnail.data}`}
      alt=""
      decoding="async"
    />
  );
}
