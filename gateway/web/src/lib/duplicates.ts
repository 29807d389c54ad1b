/** Examples that share an image, by the image. Pure. */
import type { Example } from "../api/types";

export interface Twins {
  sha256: string;
  /** In row order, each once. */
  examples: readonly Example[];
}

/** Groups of two and more, the largest first. */
export function twinsOf(examples: readonly Example[]): Twins[] {
  const byDigest = new Map<string, Example[]>();
  for (const example of examples) {
    const digests = new Set((example.images ?? []).map((image) => image.sha256 ?? ""));
    for (const digest of digests) byDigest.set(digest, [...(byDigest.get(digest) ?? []), example]);
  }
  return [...byDigest]
    .filter(([, group]) => group.length > 1)
    .map(([sha256, group]) => ({ sha256, examples: group }))
    .sort((a, b) => b.examples.length - a.examples.length);
}

/** True when the same image is in more than one split: what is measured was trained on. */
export function leaks({ examples }: Twins): boolean {
  return new Set(examples.map((example) => example.split)).size > 1;
}

/** The answer or the first caption: what the twins may disagree about. */
export function answerOf(example: Example): string {
  const said = example.messages?.findLast((message) => message.role === "assistant");
  const text = (said?.content ?? []).map((part) => part.text ?? "").join("");
  return text || (example.texts?.[0] ?? "");
}
