/** Imports that were begun and have not ended, kept in the browser so that a reload does not lose what has arrived. */
import type { ImportChoices } from "../api/datasets";
import type { Source } from "./source";
import type { Started } from "./upload";

/** One file of such an import. */
export interface Sent {
  filename: string;
  sizeBytes: number;
  identity: string;
  /** Once the file was read: its digest and the upload that takes it. */
  started?: Started;
}

export interface Unfinished {
  id: string;
  project: string;
  datasetId: string;
  choices: ImportChoices;
  files: readonly Sent[];
  beganAt: number;
}

const NAME = "visiontune";
const STORE = "unfinished";

/** What of this project could go on; what another tab is busy with is not among it. */
export async function unfinished(project: string): Promise<Unfinished[]> {
  const all = (await ask("readonly", (store) => store.getAll())) as Unfinished[];
  const busy = await heldNames();
  return all.filter((row) => row.project === project && !busy.has(row.id));
}

export async function remember(row: Unfinished): Promise<void> {
  await ask("readwrite", (store) => store.put(row));
}

export async function forget(id: string): Promise<void> {
  await ask("readwrite", (store) => store.delete(id));
}

/** Runs `work` under the import's name, so that other tabs leave it alone. */
export async function holding<Result>(id: string, work: () => Promise<Result>): Promise<Result> {
  const locks = lockManager();
  return await (locks ? locks.request(id, work) : work());
}

async function heldNames(): Promise<ReadonlySet<string>> {
  const snapshot = await lockManager()?.query();
  return new Set((snapshot?.held ?? []).flatMap((lock) => lock.name ?? []));
}

/** Browsers have it on https and on this machine only. */
function lockManager(): LockManager | undefined {
  return (navigator as { locks?: LockManager }).locks;
}

async function ask<Answer>(
  mode: IDBTransactionMode,
  question: (store: IDBObjectStore) => IDBRequest<Answer>,
): Promise<Answer> {
  const database = await open();
  try {
    return await settled(question(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
  return settled(request);
}

function settled<Answer>(request: IDBRequest<Answer>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("The browser's database cannot be used."));
  });
}

/** The very files of the row, in its order; `undefined` when they are others. */
export function inOrderOf(row: Unfinished, sources: readonly Source[]): Source[] | undefined {
  const ordered = row.files.flatMap(
    (file) => sources.find((source) => source.identity === file.identity) ?? [],
  );
  return ordered.length === row.files.length && ordered.length === sources.length ? ordered : undefined;
}
