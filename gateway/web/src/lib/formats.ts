/** Which formats can hold a version. Pure. */
import type { DatasetVersion, Format } from "../api/types";

/** Written, but read as clip or qwen2-vl: no format of its own. */
const WEBDATASET = "webdataset";
/** Kinds that have no form as samples of it. */
const NO_SAMPLE: ReadonlySet<string> = new Set(["EXAMPLE_KIND_RETRIEVAL", "EXAMPLE_KIND_PREFERENCE"]);

/** Names of those that have a place for every kind of example in it. */
export function formatsFor(version: DatasetVersion, formats: readonly Format[]): string[] {
  const needed = version.kinds ?? [];
  const fitting = formats
    .filter(({ kinds = [] }) => needed.every((kind) => kinds.includes(kind)))
    .flatMap(({ format }) => format ?? []);
  return needed.some((kind) => NO_SAMPLE.has(kind)) ? fitting : [...fitting, WEBDATASET];
}

/** What is switched off here, in a sentence: each has a reason of its own that says the same. */
export function switchedOff(rows: readonly { name: string; reason: string }[]): string {
  const [first, ...others] = rows.filter(({ reason }) => reason !== "");
  if (!first) return "";
  return [first.reason, others.length > 0 && `Likewise ${others.map(({ name }) => name).join(", ")}.`]
    .filter(Boolean)
    .join(" ");
}
