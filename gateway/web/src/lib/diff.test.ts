import { expect, test } from "vitest";
import { wordDiff, type Piece } from "./diff";

const written = (pieces: Piece[]) =>
  pieces
    .map(({ text, kind }) => (kind === "same" ? text : `${kind === "gone" ? "[-" : "[+"}${text}]`))
    .join("");

test("only the words that differ are marked", () => {
  expect(written(wordDiff("a red cat sits", "a blue cat sits down"))).toBe(
    "a [-red][+blue] cat sits[+ down]",
  );
});

test("texts that agree, come or go are one piece", () => {
  expect(wordDiff("same", "same")).toEqual([{ text: "same", kind: "same" }]);
  expect(wordDiff("", "new")).toEqual([{ text: "new", kind: "new" }]);
  expect(wordDiff("old", "")).toEqual([{ text: "old", kind: "gone" }]);
  expect(wordDiff("", "")).toEqual([]);
});

test("both texts can be read from the pieces", () => {
  const [before, after] = ["x y  z\nx y", "y z\nx x y!"];
  const pieces = wordDiff(before, after);
  const without = (kind: string) => pieces.filter((piece) => piece.kind !== kind).map((piece) => piece.text);
  expect(without("new").join("")).toBe(before);
  expect(without("gone").join("")).toBe(after);
});

test("very long texts are shown whole", () => {
  const long = "word ".repeat(500);
  expect(wordDiff(long, `${long}!`)).toHaveLength(2);
});
