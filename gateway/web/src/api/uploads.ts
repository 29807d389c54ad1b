/** StorageService: uploads and quota. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { requestId } from "../lib/ids";
import { json, send } from "./http";
import type { Operation, Quota, QuotaAlert, StorageEgress, StorageUsage, Upload } from "./types";

interface FileFacts {
  filename: string;
  sizeBytes: string;
  sha256: string;
  contentType: string;
}

export function createUpload(project: string, file: FileFacts): Promise<Upload> {
  return json<Upload>(`${project}/uploads`, {
    method: "POST",
    query: { requestId: requestId() },
    body: file,
  });
}

/** Asks for the upload with freshly signed URLs. */
export function getUpload(name: string): Promise<Upload> {
  return json<Upload>(name);
}

/** Verifies what was sent. A large object is not read in the time of one call: then the same id joins that work. */
export function completeUpload(name: string, id: string, signal: AbortSignal): Promise<Upload> {
  return json<Upload>(`${name}:complete`, { method: "POST", body: { requestId: id }, signal });
}

export async function abortUpload(name: string): Promise<void> {
  await send(`${name}:abort`, { method: "POST", body: { requestId: requestId() } });
}

export function quotaQuery(project: string) {
  return queryOptions({
    queryKey: ["quota", project],
    queryFn: () => json<Quota>(`${project}/quota`),
    staleTime: 10_000,
  });
}

/** What the project was told: use that rose to 80 % or to 100 % of a limit. */
export function alertsQuery(project: string) {
  return infiniteQueryOptions({
    queryKey: ["alerts", project],
    queryFn: ({ pageParam }) =>
      json<{ alerts?: QuotaAlert[]; nextPageToken?: string }>(`${project}/quotaAlerts`, {
        query: { pageToken: pageParam },
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
  });
}

/** What is kept, for whom, and day by day for the last 30. */
export function usageQuery(project: string) {
  return queryOptions({
    queryKey: ["usage", project],
    queryFn: () => json<StorageUsage>(`${project}/storageUsage`),
  });
}

/** What the object store sent to readers of all projects; operators alone may ask. */
export const egressQuery = queryOptions({
  queryKey: ["egress"],
  queryFn: () => json<StorageEgress>("storageEgress"),
  retry: false,
});

/** Removes what nobody needs any more, or only counts it. */
export function collectGarbage(project: string, dryRun: boolean): Promise<Operation> {
  return json<Operation>(`${project}:collectGarbage`, {
    method: "POST",
    body: { dryRun, requestId: requestId() },
  });
}
