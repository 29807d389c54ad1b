/** DatasetService: versions as archives to take away, kept for a day. */
import { requestId } from "../lib/ids";
import { json } from "./http";
import type { Export, Operation } from "./types";

export type ArchiveKind = "ARCHIVE_TAR_GZ" | "ARCHIVE_TAR" | "ARCHIVE_ZIP";

export function exportVersion(version: string, format: string, archive: ArchiveKind): Promise<Operation> {
  return json<Operation>(`${version}:export`, {
    method: "POST",
    body: { format, archive, requestId: requestId() },
  });
}

/** The export with a URL signed just now. */
export function getExport(name: string): Promise<Export> {
  return json<Export>(name);
}
