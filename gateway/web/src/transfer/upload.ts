/** The way of files into a dataset: hash, create, put, complete, import. What a broken-off try has brought there is not sent again. */
import { createDataset, importVersion, type ImportChoices } from "../api/datasets";
import { ApiError, Code } from "../api/errors";
import type { Operation, Upload } from "../api/types";
import { abortUpload, completeUpload, createUpload, getUpload } from "../api/uploads";
import { requestId } from "../lib/ids";
import { sha256Of } from "./hash";
import { putParts, PutFailed } from "./put";

export type Stage = "hashing" | "uploading" | "checking";

export interface Progress {
  stage: Stage;
  doneBytes: number;
  totalBytes: number;
}

/** The upload that takes a file whose digest is known. */
export interface Started {
  sha256: string;
  upload: string;
}

export interface Request {
  project: string;
  datasetId: string;
  /** With `started` where an earlier try had got that far. */
  files: readonly { file: File; started?: Started | undefined }[];
  choices: ImportChoices;
}

export interface Listener {
  onProgress: (progress: Progress) => void;
  onStarted: (index: number, started: Started) => void;
}

const CHECKING_LIMIT_MS = 600_000;

/** Takes the files to the server and starts their import; the operation returned is the import's. */
export async function importFiles(
  request: Request,
  listener: Listener,
  signal: AbortSignal,
): Promise<Operation> {
  const uploads = await uploadFiles(request, listener, signal);
  const dataset = await ensureDataset(request.project, request.datasetId);
  return importVersion(dataset, uploads, request.choices);
}

/** Sends one file, and returns the name of its upload. */
export async function sendFile(project: string, file: File, signal: AbortSignal): Promise<string> {
  const listener = { onProgress: () => undefined, onStarted: () => undefined };
  const [upload = ""] = await uploadFiles({ project, files: [{ file }] }, listener, signal);
  return upload;
}

async function uploadFiles(
  { project, files }: Pick<Request, "project" | "files">,
  listener: Listener,
  signal: AbortSignal,
) {
  const totalBytes = files.reduce((sum, { file }) => sum + file.size, 0);
  const teller = (stage: Stage) => {
    const done = files.map(() => 0);
    return (index: number) => (bytes: number) => {
      done[index] = bytes;
      const doneBytes = done.reduce((sum, each) => sum + each, 0);
      listener.onProgress({ stage, doneBytes, totalBytes });
    };
  };
  const names: string[] = [];
  try {
    const hashing = teller("hashing");
    const digests: string[] = [];
    for (const [index, { file, started }] of files.entries())
      digests.push(started?.sha256 ?? (await sha256Of(file, hashing(index), signal)));
    const uploading = teller("uploading");
    for (const [index, { file, started }] of files.entries()) {
      const sha256 = digests[index] ?? "";
      const upload = (await goneOn(started)) ?? (await begin(project, file, sha256));
      const name = upload.name ?? "";
      names.push(name);
      listener.onStarted(index, { sha256, upload: name });
      await putParts(upload, file, uploading(index), signal);
      uploading(index)(file.size);
    }
    listener.onProgress({ stage: "checking", doneBytes: totalBytes, totalBytes });
    for (const name of names) await complete(name, signal);
    return names;
  } catch (error) {
    // Gives the reservation back. What may still succeed, now or after a reload, is left to expire instead.
    if (signal.aborted || !mayPass(error))
      await Promise.all(names.map((name) => abortUpload(name).catch(() => undefined)));
    throw error;
  }
}

function begin(project: string, file: File, sha256: string): Promise<Upload> {
  return createUpload(project, {
    filename: file.name,
    sizeBytes: String(file.size),
    sha256,
    contentType: file.type || "application/octet-stream",
  });
}

/** An earlier upload that still takes bytes, or has them all; `undefined` when it was given up or expired. */
async function goneOn(started: Started | undefined): Promise<Upload | undefined> {
  if (started === undefined) return undefined;
  try {
    const upload = await getUpload(started.upload);
    const open = upload.state === "STATE_PENDING" || upload.state === "STATE_COMPLETE";
    return open ? upload : undefined;
  } catch (error) {
    if (error instanceof ApiError && error.code === Code.NOT_FOUND) return undefined;
    throw error;
  }
}

/** Asks until the server has read the whole object, which takes longer than the gateway gives one call. */
async function complete(name: string, signal: AbortSignal): Promise<Upload> {
  const id = requestId();
  const until = Date.now() + CHECKING_LIMIT_MS;
  for (;;) {
    try {
      return await completeUpload(name, id, signal);
    } catch (error) {
      if (signal.aborted || !mayPass(error) || Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

function mayPass(error: unknown): boolean {
  if (error instanceof PutFailed) return true;
  return error instanceof ApiError && (error.passing || error.code === Code.DEADLINE_EXCEEDED);
}

/** Creates the dataset unless it exists, and returns its name. */
async function ensureDataset(project: string, id: string): Promise<string> {
  try {
    await createDataset(project, id);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === Code.ALREADY_EXISTS)) throw error;
  }
  return `${project}/datasets/${id}`;
}
