/** Uploads that this tab is busy with. They go on while the user looks at other pages, and can go on after a reload. */
import { useSyncExternalStore } from "react";
import { messageOf } from "../api/errors";
import type { Operation } from "../api/types";
import { abortUpload } from "../api/uploads";
import { requestId } from "../lib/ids";
import type { Source } from "./source";
import { forget, holding, remember, type Unfinished } from "./unfinished";
import { importFiles, type Progress, type Started } from "./upload";

export interface Transfer {
  readonly id: string;
  /** What the browser remembers of it. */
  readonly row: Unfinished;
  readonly sources: readonly Source[];
  readonly progress: Progress;
  /** Set when it failed. */
  readonly error?: string;
  /** The import, once the bytes are there. */
  readonly operation?: Operation;
}

let transfers: readonly Transfer[] = [];
const aborts = new Map<string, AbortController>();
const listeners = new Set<() => void>();

/** Begins to import and returns the id at once. */
export function startTransfer(
  asked: Pick<Unfinished, "project" | "datasetId" | "choices">,
  sources: readonly Source[],
): string {
  const files = sources.map(({ file, identity }) => ({
    filename: file.name,
    sizeBytes: file.size,
    identity,
  }));
  return continueTransfer({ ...asked, id: requestId(), files, beganAt: Date.now() }, sources);
}

/** Goes on where it broke off; the sources are the files of the row, in its order. */
export function continueTransfer(row: Unfinished, sources: readonly Source[]): string {
  const { id } = row;
  const abort = new AbortController();
  aborts.set(id, abort);
  const totalBytes = row.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  replace([
    ...transfers.filter((transfer) => transfer.id !== id),
    { id, row, sources, progress: { stage: "hashing", doneBytes: 0, totalBytes } },
  ]);
  holding(id, () => run(id, row, sources, abort.signal))
    .then((operation) => change(id, { operation }))
    .catch((error: unknown) => {
      if (abort.signal.aborted) drop(id);
      else change(id, { error: messageOf(error) });
    })
    .finally(() => aborts.delete(id));
  return id;
}

async function run(id: string, begun: Unfinished, sources: readonly Source[], signal: AbortSignal) {
  let row = begun;
  const keep = (next: Unfinished) => {
    row = next;
    change(id, { row });
    // Where the browser keeps nothing, the import works all the same; it only cannot go on after a reload.
    return remember(row).catch(() => undefined);
  };
  await keep(row);
  const files = sources.map(({ file }, index) => ({ file, started: row.files[index]?.started }));
  const operation = await importFiles(
    { ...row, files },
    {
      onProgress: (progress) => change(id, { progress }),
      onStarted: (index, started) => void keep({ ...row, files: withStarted(row, index, started) }),
    },
    signal,
  );
  await forget(id).catch(() => undefined);
  return operation;
}

function withStarted(row: Unfinished, index: number, started: Started) {
  return row.files.map((file, at) => (at === index ? { ...file, started } : file));
}

export function cancelTransfer(id: string): void {
  aborts.get(id)?.abort();
}

/** Gives up what is not under way: frees the reservations, and forgets it. */
export async function giveUp(row: Unfinished): Promise<void> {
  drop(row.id);
  await Promise.allSettled(
    row.files.flatMap(({ started }) => (started ? [abortUpload(started.upload)] : [])),
  );
}

function drop(id: string): void {
  replace(transfers.filter((transfer) => transfer.id !== id));
  void forget(id).catch(() => undefined);
}

export function useTransfers(): readonly Transfer[] {
  return useSyncExternalStore(subscribe, () => transfers);
}

export function isRunning(transfer: Transfer): boolean {
  return transfer.error === undefined && transfer.operation === undefined;
}

function change(id: string, part: Partial<Transfer>): void {
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

// What is on its way stops with the page, so leaving asks first.
window.addEventListener("beforeunload", (event) => {
  if (transfers.some(isRunning)) event.preventDefault();
});
