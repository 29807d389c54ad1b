import { expect, test } from "vitest";
import type { Edit, Example } from "../api/types";
import { additionForm, editedBy, editOf, slotsOfCaptions, slotsOfMessage, tagsOf, wordsOf } from "./draft";

const text = (words: string) => ({ type: "TYPE_TEXT" as const, text: words });
const EXAMPLE: Example = {
  exampleId: "a",
  split: "train",
  messages: [
    { role: "user", content: [text("one"), { type: "TYPE_IMAGE" }, text("two")] },
    { role: "assistant", content: [text("yes")] },
  ],
};

test("edits are applied in order, and only those of the example", () => {
  const edits: Edit[] = [
    { number: 1, exampleId: "a", text: { message: 0, part: 1, text: "TWO" } },
    { number: 2, exampleId: "b", split: "test" },
    { number: 3, exampleId: "a", text: { message: 1, text: "no" } },
    { number: 4, exampleId: "a", split: "validation" },
    { number: 5, exampleId: "a", tags: { tags: ["x"] } },
    { number: 6, exampleId: "a", delete: {} },
  ];
  const { example, numbers, deletions } = editedBy(EXAMPLE, edits);
  expect(example.messages?.[0]?.content?.map((part) => part.text)).toEqual(["one", undefined, "TWO"]);
  expect(example.messages?.[1]?.content?.[0]?.text).toBe("no");
  expect([example.split, example.tags]).toEqual(["validation", ["x"]]);
  expect(numbers).toEqual([1, 3, 4, 5, 6]);
  expect(deletions).toEqual([6]);
});

test("a slot names its part only where a message has several texts", () => {
  expect(slotsOfMessage(EXAMPLE, 0).map((slot) => slot.edit("x"))).toEqual([
    { message: 0, part: 0, text: "x" },
    { message: 0, part: 1, text: "x" },
  ]);
  expect(slotsOfMessage(EXAMPLE, 1)[0]?.edit("x")).toEqual({ message: 1, text: "x" });
});

test("a caption is edited at its place", () => {
  const captioned: Example = { exampleId: "c", texts: ["one", "two"] };
  const edit = slotsOfCaptions(captioned)[1]?.edit("TWO");
  expect(editedBy(captioned, [{ exampleId: "c", ...(edit && { text: edit }) }]).example.texts).toEqual([
    "one",
    "TWO",
  ]);
});

test("a text beside messages is the rejected answer", () => {
  const pair: Example = { exampleId: "p", messages: [{ role: "user" }], texts: ["one"] };
  expect(slotsOfCaptions(pair).map((slot) => slot.label)).toEqual(["rejected answer"]);
});

test("an edit is told in words", () => {
  expect(wordsOf({ text: { message: 1, text: "no" } })).toBe("message 2: no");
  expect(wordsOf({ tags: {} })).toBe("tags: none");
  expect(wordsOf({ delete: {} })).toBe("deleted");
});

test("tags are what stands between commas, each once", () => {
  expect(tagsOf(" night, rain,, night ")).toEqual(["night", "rain"]);
});

test("a new example is a chat or a caption, as the version has them", () => {
  const said = {
    uploads: ["u/1"],
    question: "What is it?",
    answer: "A cat.",
    split: "test",
    tags: ["night"],
  };
  expect(editOf("chatWithImages", said).add?.messages).toEqual([
    { role: "user", content: [{ type: "TYPE_IMAGE" }, { type: "TYPE_TEXT", text: "What is it?" }] },
    { role: "assistant", content: [{ type: "TYPE_TEXT", text: "A cat." }] },
  ]);
  const captioned = editOf("caption", said);
  expect(captioned.add).toEqual({
    images: [{ upload: "u/1" }],
    split: "test",
    tags: ["night"],
    texts: ["A cat."],
  });
  expect(wordsOf(captioned)).toBe("added: A cat.");
  expect(wordsOf(editOf("chat", said))).toBe("added: A cat.");
});

test("what can be added depends on what the version holds", () => {
  expect(additionForm(["EXAMPLE_KIND_CAPTIONED_IMAGE"])).toBe("caption");
  expect(additionForm(["EXAMPLE_KIND_CHAT"])).toBe("chat");
  expect(additionForm(["EXAMPLE_KIND_CHAT", "EXAMPLE_KIND_CHAT_WITH_IMAGES"])).toBe("chatWithImages");
  expect(additionForm(["EXAMPLE_KIND_RETRIEVAL"])).toBeUndefined();
});
