/** What a model gets of an example, in words. Pure. */
import type { ModelInput } from "../api/types";
import { counted } from "./format";

const KINDS: Partial<Record<NonNullable<ModelInput["kind"]>, string>> = {
  KIND_CONVERSATION: "Conversation",
  KIND_CHOSEN: "With the chosen answer",
  KIND_REJECTED: "With the rejected answer",
  KIND_TEXT: "Text",
  KIND_IMAGE: "Image",
  KIND_NEGATIVE: "Image that is not meant",
  KIND_MASKED_TEXT: "Text with masked tokens",
  KIND_PACKED: "The same in one row",
};

/** `Conversation: 612 tokens, 576 of images, 4 trained on`. */
export function inputInWords(input: ModelInput): string {
  const parts = [
    input.tokenCount ? counted(input.tokenCount, "token") : "",
    input.imageTokenCount ? `${input.imageTokenCount} of images` : "",
    input.trainedTokenCount ? `${input.trainedTokenCount} trained on` : "",
    input.excessTokenCount ? `${input.excessTokenCount} too many` : "",
  ].filter(Boolean);
  const kind = KINDS[input.kind ?? "KIND_CONVERSATION"] ?? "Input";
  return parts.length > 0 ? `${kind}: ${parts.join(", ")}` : kind;
}

type Picture = NonNullable<ModelInput["pictures"]>[number];

/** `640 × 480, seen as 336 × 336 in 5 tiles`. */
export function pictureInWords(picture: Picture): string {
  const { widthPx, heightPx, seenWidthPx, seenHeightPx, tileCount = 0, frameCount = 0 } = picture;
  const seen = seenWidthPx ? `, seen as ${seenWidthPx} × ${seenHeightPx ?? 0}` : "";
  const tiles = tileCount > 1 ? ` in ${tileCount} tiles` : "";
  const frames = frameCount > 0 ? `, ${counted(frameCount, "frame")}` : "";
  return `${widthPx ?? 0} × ${heightPx ?? 0}${seen}${tiles}${frames}`;
}
