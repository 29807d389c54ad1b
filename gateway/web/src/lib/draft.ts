/** What an example becomes by the edits of a draft, and the edits that a person's changes are. Pure. */
import type { Edit, Example } from "../api/types";

export const SPLITS = ["train", "validation", "test"];

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

/** What a new example says last. */
function textOf({ texts = [], messages = [] }: NonNullable<Edit["add"]>): string {
  return texts[0] ?? messages.at(-1)?.content?.at(-1)?.text ?? "";
}

/** What an edit does, in words. */
export function wordsOf(edit: Edit): string {
  if (edit.delete !== undefined) return "deleted";
  if (edit.add !== undefined) return `added: ${textOf(edit.add)}`;
  if (edit.split !== undefined) return `moved to ${edit.split}`;
  if (edit.tags !== undefined) return `tags: ${(edit.tags.tags ?? []).join(", ") || "none"}`;
  const { message, caption, text = "" } = edit.text ?? {};
  const place = caption === undefined ? `message ${(message ?? 0) + 1}` : `caption ${caption + 1}`;
  return `${place}: ${text}`;
}

/** What a new example of a version is made of; `uploads` are its images. */
export interface Addition {
  uploads: readonly string[];
  question: string;
  answer: string;
  split: string;
  tags: readonly string[];
}

/** What a person has to fill in: for versions of captions a caption and an image, for others a question and an answer. */
export type AdditionForm = "caption" | "chat" | "chatWithImages";

/** `undefined` where a new example cannot be written by hand. */
export function additionForm(kinds: readonly string[]): AdditionForm | undefined {
  if (kinds.includes("EXAMPLE_KIND_RETRIEVAL")) return undefined;
  if (kinds.includes("EXAMPLE_KIND_CAPTIONED_IMAGE")) return kinds.length === 1 ? "caption" : undefined;
  return kinds.every((kind) => kind === "EXAMPLE_KIND_CHAT") ? "chat" : "chatWithImages";
}

/** The edit that adds it; the images come before the question. Its id is made of its content. */
export function editOf(form: AdditionForm, { uploads, question, answer, split, tags }: Addition): Edit {
  const about = { images: uploads.map((upload) => ({ upload })), split, tags: [...tags] };
  if (form === "caption") return { add: { ...about, texts: [answer] } };
  const asked = [
    ...uploads.map(() => ({ type: "TYPE_IMAGE" as const })),
    { type: "TYPE_TEXT" as const, text: question },
  ];
  const answered = [{ type: "TYPE_TEXT" as const, text: answer }];
  const messages = [
    { role: "user", content: asked },
    { role: "assistant", content: answered },
  ];
  return { add: { ...about, messages } };
}

/** `night, rain` as tags, each once. */
export function tagsOf(text: string): string[] {
  return [...new Set(text.split(",").map((tag) => tag.trim()))].filter(Boolean);
}
