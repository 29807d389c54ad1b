/** What an example becomes by the edits of a draft, and the edits that a person's changes are. Pure. */
import type { Edit, Example } from "../api/types";

/** A text of an example that can be edited. */
export interface Slot {
  /** `message 1`, `message 1, text 2` or `caption 1`. */
  label: string;
  text: string;
  edit: (text: string) => NonNullable<Edit["text"]>;
}

export interface Edited {
  example: Example;
  /** Numbers of the edits that concern it. */
  numbers: readonly number[];
  /** Numbers of those that delete it; without any it stays. */
  deletions: readonly number[];
}

/** The example as the draft has it. */
export function editedBy(example: Example, edits: readonly Edit[]): Edited {
  const own = edits.filter((edit) => edit.exampleId === example.exampleId);
  const numbersOf = (some: readonly Edit[]) => some.map((edit) => edit.number ?? 0);
  return {
    example: own.reduce(withEdit, example),
    numbers: numbersOf(own),
    deletions: numbersOf(own.filter((edit) => edit.delete !== undefined)),
  };
}

function withEdit(example: Example, edit: Edit): Example {
  if (edit.split !== undefined) return { ...example, split: edit.split };
  if (edit.tags !== undefined) return { ...example, tags: edit.tags.tags ?? [] };
  if (edit.text !== undefined) return withText(example, edit.text);
  return example;
}

function withText(
  example: Example,
  { message, caption, part, text = "" }: NonNullable<Edit["text"]>,
): Example {
  if (caption !== undefined) {
    return { ...example, texts: (example.texts ?? []).map((old, at) => (at === caption ? text : old)) };
  }
  const messages = (example.messages ?? []).map((row, at) => {
    if (at !== message) return row;
    let seen = -1;
    const content = (row.content ?? []).map((piece) => {
      if (piece.type !== "TYPE_TEXT") return piece;
      seen += 1;
      return seen === (part ?? 0) ? { ...piece, text } : piece;
    });
    return { ...row, content };
  });
  return { ...example, messages };
}

/** The texts of one message, in order. */
export function slotsOfMessage(example: Example, message: number): Slot[] {
  const texts = (example.messages?.[message]?.content ?? []).filter((piece) => piece.type === "TYPE_TEXT");
  return texts.map((piece, part) => ({
    label: `message ${message + 1}${texts.length > 1 ? `, text ${part + 1}` : ""}`,
    text: piece.text ?? "",
    edit: (text) => (texts.length > 1 ? { message, part, text } : { message, text }),
  }));
}

/** What a text beside the messages is: of a conversation, the answer that lost. */
export function labelOfText(example: Example, at: number): string {
  return example.messages?.length ? "rejected answer" : `caption ${at + 1}`;
}

export function slotsOfCaptions(example: Example): Slot[] {
  return (example.texts ?? []).map((text, caption) => ({
    label: labelOfText(example, caption),
    text,
    edit: (next) => ({ caption, text: next }),
  }));
}

/** What an edit does, in words. */
export function wordsOf(edit: Edit): string {
  if (edit.delete !== undefined) return "deleted";
  if (edit.add !== undefined) return "added";
  if (edit.split !== undefined) return `moved to ${edit.split}`;
  if (edit.tags !== undefined) return `tags: ${(edit.tags.tags ?? []).join(", ") || "none"}`;
  const { message, caption, text = "" } = edit.text ?? {};
  const place = caption === undefined ? `message ${(message ?? 0) + 1}` : `caption ${caption + 1}`;
  return `${place}: ${text}`;
}

/** `night, rain` as tags, each once. */
export function tagsOf(text: string): string[] {
  return [...new Set(text.split(",").map((tag) => tag.trim()))].filter(Boolean);
}
