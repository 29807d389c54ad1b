/** Which formats can hold a version. Pure. */
import type { DatasetVersion, Format } from "../api/types";

/** Written, but read as clip or qwen2-vl: no format of its own. */
const WEBDATASET = "webdataset";

/** Names of those that have a place for every kind of example in it. */
export function formatsFor(version: DatasetVersion, formats: readonly Format[]): string[] {
  const needed = version.kinds ?? [];
  const fitting = formats
    .filter(({ kinds = [] }) => needed.every((kind) => kinds.includes(kind)))
    .flatMap(({ format }) => format ?? []);
  return needed.includes("EXAMPLE_KIND_RETRIEVAL") ? fitting : [...fitting, WEBDATASET];
}
