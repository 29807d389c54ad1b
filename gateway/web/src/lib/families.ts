/** Which models can be trained on which data. Pure. */
import type { DatasetVersion, ModelFamily } from "../api/types";

const WORDS: Readonly<Record<string, string>> = {
  CHAT_WITH_IMAGES: "conversations with images",
  CHAT: "conversations in text",
  CAPTIONED_IMAGE: "images with captions",
  CHAT_WITH_VIDEO: "conversations with video",
  RETRIEVAL: "queries with pages",
  PREFERENCE: "pairs of answers",
};

/** What kinds of examples are called. */
export function kindsInWords(kinds: readonly string[]): string {
  return kinds.map((kind) => WORDS[kind] ?? kind.toLowerCase().replaceAll("_", " ")).join(", ");
}

/** Kinds of a version's examples, named as in a family's `takes`. */
export function kindsOf(version: DatasetVersion | undefined): string[] {
  return (version?.kinds ?? []).map((kind) => kind.replace("EXAMPLE_KIND_", ""));
}

/** Why a family cannot be trained on examples of these kinds; empty when it can, or when nothing is known. */
export function whyNot(family: ModelFamily | undefined, kinds: readonly string[]): string {
  if (family === undefined) return "";
  if (family.unavailableReason) return family.unavailableReason;
  const refused = kinds.filter((kind) => !family.takes?.includes(kind));
  if (refused.length === 0) return "";
  return `Takes ${kindsInWords(family.takes ?? [])}; this data has ${kindsInWords(refused)}.`;
}
