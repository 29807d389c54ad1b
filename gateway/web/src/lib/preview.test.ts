import { expect, test } from "vitest";
import { inputInWords, pictureInWords } from "./preview";

test("an input tells its tokens", () => {
  expect(
    inputInWords({ kind: "KIND_CONVERSATION", tokenCount: 612, imageTokenCount: 576, trainedTokenCount: 4 }),
  ).toBe("Conversation: 612 tokens, 576 of images, 4 trained on");
  expect(inputInWords({ kind: "KIND_TEXT", tokenCount: 70, excessTokenCount: 6 })).toBe(
    "Text: 70 tokens, 6 too many",
  );
  expect(inputInWords({ kind: "KIND_IMAGE" })).toBe("Image");
});

test("a picture tells how it is seen", () => {
  expect(
    pictureInWords({ widthPx: 640, heightPx: 480, seenWidthPx: 336, seenHeightPx: 336, tileCount: 5 }),
  ).toBe("640 × 480, seen as 336 × 336 in 5 tiles");
  expect(pictureInWords({ widthPx: 8, heightPx: 8, frameCount: 4 })).toBe("8 × 8, 4 frames");
});
