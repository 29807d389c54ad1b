/** Ids that this side makes up. */

/** A UUID4 that makes a repeated call safe. Works without a secure context, where crypto.randomUUID is absent. */
export function requestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** What the server accepts as an id of a dataset, a job or a model. */
export const ID_PATTERN = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

const ARCHIVE_SUFFIX = /(\.tar)?\.(gz|tgz|tar|zip|jsonl?|csv|tsv|parquet)$/;

/** A fitting id for data from a file: `My Digits (2).tar.gz` gives `my-digits-2`. Empty when nothing is left. */
export function idFromFilename(filename: string): string {
  return filename
    .toLowerCase()
    .replace(ARCHIVE_SUFFIX, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 63)
    .replace(/-+$/, "");
}
