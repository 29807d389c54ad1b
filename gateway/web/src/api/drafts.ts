/** DatasetService: drafts, in which the edits of a version collect until they become the next one. */
import { queryOptions } from "@tanstack/react-query";
import { requestId } from "../lib/ids";
import { json, send } from "./http";
import type { Draft, Edit, Operation, Problem } from "./types";

export function draftQuery(name: string) {
  return queryOptions({ queryKey: ["draft", name], queryFn: () => json<Draft>(name) });
}

/** All edits of a draft, in order. */
export function editsQuery(draft: string) {
  return queryOptions({
    queryKey: ["edits", draft],
    queryFn: async () => {
      const found: Edit[] = [];
      let pageToken: string | undefined;
      do {
        const page: { edits?: Edit[]; nextPageToken?: string } = await json(`${draft}/edits`, {
          query: { pageSize: 1000, pageToken },
        });
        found.push(...(page.edits ?? []));
        pageToken = page.nextPageToken;
      } while (pageToken);
      return found;
    },
  });
}

export async function listDrafts(dataset: string): Promise<Draft[]> {
  return (await json<{ drafts?: Draft[] }>(`${dataset}/drafts`)).drafts ?? [];
}

export function createDraft(dataset: string, baseVersion: string): Promise<Draft> {
  return json<Draft>(`${dataset}/drafts`, {
    method: "POST",
    query: { requestId: requestId() },
    body: { baseVersion },
  });
}

export async function deleteDraft(name: string): Promise<void> {
  await send(name, { method: "DELETE", query: { requestId: requestId() } });
}

/** What the server makes of edits: the draft with them, their numbers, and what an import would warn of. */
export interface Accepted {
  draft?: Draft;
  edits?: Edit[];
  warnings?: Problem[];
}

/** Refused as ABORTED when the draft is not the one that `etag` names any more. */
export function addEdits(draft: string, etag: string, edits: readonly Edit[]): Promise<Accepted> {
  return json<Accepted>(`${draft}:edit`, {
    method: "POST",
    body: { etag, edits, requestId: requestId() },
  });
}

export function revertEdits(draft: string, etag: string, numbers: readonly number[]): Promise<Draft> {
  return json<Draft>(`${draft}:revert`, {
    method: "POST",
    body: { etag, numbers, requestId: requestId() },
  });
}

/** Moves the edits to the newest version. */
export function rebaseDraft(draft: string): Promise<Draft> {
  return json<Draft>(`${draft}:rebase`, { method: "POST", body: { requestId: requestId() } });
}

export function commitDraft(draft: string, etag: string): Promise<Operation> {
  return json<Operation>(`${draft}:commit`, { method: "POST", body: { etag, requestId: requestId() } });
}
