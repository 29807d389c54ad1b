/** Uploads that this tab is busy with. They go on while the user looks at other pages. */
import { useSyncExternalStore } from "react";
import { messageOf } from "../api/errors";
import type { Operation } from "../api/types";
import { importArchive, type Progress, type Request } from "./upload";

export interface Transfer {
  readonly id: number;
  readonly request: Request;
  readonly progress: Progress;
  /** Set when it failed. */
  readonly error?: string;
  /** The import, once the bytes are there. */
  readonly operation?: Operation;
}

let transfers: readonly Transfer[] = [];
let nextId = 1;
const aborts = new Map<number, AbortController>();
const listeners = new Set<() => void>();

/** Begins an upload and returns its id at once. */
export function startTransfer(request: Request): number {
  const id = nextId++;
  const abort = new AbortController();
  aborts.set(id, abort);
  const progress: Progress = { stage: "hashing", doneBytes: 0, totalBytes: request.file.size };
  replace([...transfers, { id, request, progress }]);
  importArchive(request, (progress) => change(id, { progress }), abort.signal)
    .then((operation) => change(id, { operation }))
    .catch((error: unknown) => {
      if (abort.signal.aborted) forgetTransfer(id);
      else change(id, { error: messageOf(error) });
    })
    .finally(() => aborts.delete(id));
  return id;
}

export function cancelTransfer(id: number): void {
  aborts.get(id)?.abort();
}

/** Takes an ended upload off the list. */
export function forgetTransfer(id: number): void {
  replace(transfers.filter((transfer) => transfer.id !== id));
}

export function useTransfers(): readonly Transfer[] {
  return useSyncExternalStore(subscribe, () => transfers);
}

export function isRunning(transfer: Transfer): boolean {
  return transfer.error === undefined && transfer.operation === undefined;
}

function change(id: number, part: Partial<Transfer>): void {
  replace(transfers.map((transfer) => (transfer.id === id ? { ...transfer, ...part } : transfer)));
}

function replace(next: readonly Transfer[]): void {
  transfers = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// Bytes that are on their way are lost with the page, so leaving asks first.
window.addEventListener("beforeunload", (event) => {
  if (transfers.some(isRunning)) event.preventDefault();
});
