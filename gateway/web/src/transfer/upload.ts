/** An archive's way into a dataset: hash, create, put, complete, import. */
import { createDataset, importVersion, type ImportChoices } from "../api/datasets";
import { ApiError, Code } from "../api/errors";
import type { Operation, Upload } from "../api/types";
import { abortUpload, completeUpload, createUpload, getUpload } from "../api/uploads";
import { int } from "../lib/format";
import { requestId } from "../lib/ids";
import { sha256Of } from "./hash";
import { putWithRetries } from "./put";

export type Stage = "hashing" | "uploading" | "checking";

export interface Progress {
  stage: Stage;
  doneBytes: number;
  totalBytes: number;
}

export interface Request {
  project: string;
  datasetId: string;
  file: File;
  choices: ImportChoices;
}

const ALREADY_EXISTS = 6;
const CHECKING_LIMIT_MS = 600_000;

/** Takes the file to the server and starts its import; the operation returned is the import's. */
export async function importArchive(
  request: Request,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Operation> {
  const upload = await uploadFile(request, onProgress, signal);
  const dataset = await ensureDataset(request.project, request.datasetId);
  return importVersion(dataset, upload.name ?? "", request.choices);
}

async function uploadFile(
  { project, file }: Request,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Upload> {
  const tell = (stage: Stage) => (doneBytes: number) =>
    onProgress({ stage, doneBytes, totalBytes: file.size });
  const sha256 = await sha256Of(file, tell("hashing"), signal);
  const upload = await createUpload(project, {
    filename: file.name,
    sizeBytes: String(file.size),
    sha256,
    contentType: file.type || "application/octet-stream",
  });
  const name = upload.name ?? "";
  try {
    await putParts(upload, file, tell("uploading"), signal);
    tell("checking")(file.size);
    return await complete(name, signal);
  } catch (error) {
    // Frees the reservation. Where the server is only away or slow, it does so itself when the upload expires.
    if (signal.aborted || !mayPass(error)) await abortUpload(name).catch(() => undefined);
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
  return error instanceof ApiError && (error.passing || error.code === Code.DEADLINE_EXCEEDED);
}

async function putParts(
  upload: Upload,
  file: File,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const partSize = int(upload.partSizeBytes) || file.size;
  let urls = (upload.partUrls ?? []).map((part) => part.url ?? "");
  for (const [index, first] of urls.entries()) {
    const start = index * partSize;
    let url: string | undefined = first;
    const freshUrl = async () => {
      url ??= await renewed(index);
      const current = url;
      url = undefined;
      return current;
    };
    await putWithRetries(
      freshUrl,
      file.slice(start, start + partSize),
      (sent) => onProgress(start + sent),
      signal,
    );
  }

  async function renewed(index: number): Promise<string> {
    const fresh = await getUpload(upload.name ?? "");
    urls = (fresh.partUrls ?? []).map((part) => part.url ?? "");
    return urls[index] ?? "";
  }
}

/** Creates the dataset unless it exists, and returns its name. */
async function ensureDataset(project: string, id: string): Promise<string> {
  try {
    await createDataset(project, id);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === ALREADY_EXISTS)) throw error;
  }
  return `${project}/datasets/${id}`;
}
