/** Which formats can hold a version. Pure. */
import type { DatasetVersion, Format } from "../api/types";

/** Names of those that have a place for every kind of example in it. */
export function formatsFor(version: DatasetVersion, formats: readonly Format[]): string[] {
  const needed = version.kinds ?? [];
  return formats
    .filter(({ kinds = [] }) => needed.every((kind) => kinds.includes(kind)))
    .flatMap(({ format }) => format ?? []);
}
