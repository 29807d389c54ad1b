/** A conversation as it is shown: which of the example's images stand where. Pure. */
import type { Example } from "../api/types";
import { slotsOfMessage, type Slot } from "./draft";

/** A text, or the images of one place: several are the frames of a video. */
export type Piece = { slot: Slot } | { images: readonly number[] };

/** The pieces of each message. Images are counted through the whole conversation. */
export function piecesOf(example: Example): Piece[][] {
  let next = 0;
  return (example.messages ?? []).map((message, index) => {
    const slots = slotsOfMessage(example, index);
    return (message.content ?? []).flatMap((part): Piece[] => {
      if (part.type === "TYPE_TEXT") {
        const slot = slots.shift();
        return slot ? [{ slot }] : [];
      }
      const count = part.type === "TYPE_VIDEO" ? (part.frameCount ?? 0) : 1;
      const images = Array.from({ length: count }, (_, offset) => next + offset);
      next += count;
      return [{ images }];
    });
  });
}
