import { expect, test } from "vitest";
import type { Example } from "../api/types";
import { answerOf, leaks, twinsOf } from "./duplicates";

const example = (name: string, split: string, ...digests: string[]): Example => ({
  name,
  split,
  images: digests.map((sha256) => ({ sha256 })),
});

test("examples are grouped by the image that they share, the largest group first", () => {
  const groups = twinsOf([
    example("1", "train", "a", "b"),
    example("2", "train", "b"),
    example("3", "train", "c", "c"),
    example("4", "train", "a"),
    example("5", "train", "a"),
  ]);
  expect(groups.map(({ sha256, examples }) => [sha256, examples.map((row) => row.name)])).toEqual([
    ["a", ["1", "4", "5"]],
    ["b", ["1", "2"]],
  ]);
});

test("the same image in two splits leaks", () => {
  const [group] = twinsOf([example("1", "train", "a"), example("2", "validation", "a")]);
  expect(group && leaks(group)).toBe(true);
});

test("an answer is the last thing that the assistant said, or a caption", () => {
  const say = (role: string, text: string) => ({ role, content: [{ type: "TYPE_TEXT" as const, text }] });
  expect(answerOf({ messages: [say("assistant", "1"), say("user", "?"), say("assistant", "2")] })).toBe("2");
  expect(answerOf({ texts: ["a cat"] })).toBe("a cat");
});
