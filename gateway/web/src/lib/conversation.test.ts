import { expect, test } from "vitest";
import { piecesOf } from "./conversation";

test("images are counted through all messages, and a video owns several", () => {
  const pieces = piecesOf({
    messages: [
      {
        role: "user",
        content: [
          { type: "TYPE_IMAGE" },
          { type: "TYPE_TEXT", text: "and" },
          { type: "TYPE_VIDEO", frameCount: 3 },
        ],
      },
      { role: "user", content: [{ type: "TYPE_IMAGE" }] },
    ],
  });
  const shown = pieces.map((row) => row.map((piece) => ("slot" in piece ? piece.slot.text : piece.images)));
  expect(shown).toEqual([[[0], "and", [1, 2, 3]], [[4]]]);
});
