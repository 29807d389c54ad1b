/** Bytes to the object store. XMLHttpRequest, because fetch does not tell how far an upload is. */
import { ApiError } from "../api/errors";
import type { Upload } from "../api/types";
import { getUpload } from "../api/uploads";
import { int } from "../lib/format";

/** The object store refused a part, or did not answer; a fresh URL may help. */
export class PutFailed extends Error {
  override readonly name = "PutFailed";
}

/** PUTs one part to its signed URL. Rejects with PutFailed, or AbortError. */
function put(
  url: string,
  part: Blob,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve();
      else reject(new PutFailed(`The object store answered ${request.status} ${request.statusText}.`));
    };
    request.onerror = () =>
      reject(
        new PutFailed(
          "The object store cannot be reached from this browser, or refuses this page's origin (CORS).",
        ),
      );
    request.onabort = () => reject(new DOMException("Cancelled.", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(part);
  });
}

const TRIES = 4;
const AT_ONCE = 3;

/** Sends the parts that the object store does not have, a few side by side; rejects with the first failure. */
export async function putParts(
  upload: Upload,
  file: Blob,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const partSize = int(upload.partSizeBytes) || file.size;
  const sent = new Map((upload.receivedParts ?? []).map((part) => [part.partNumber, int(part.sizeBytes)]));
  const missing = (upload.partUrls ?? []).filter(({ partNumber }) => !sent.has(partNumber));
  const tell = () => onProgress([...sent.values()].reduce((sum, bytes) => sum + bytes, 0));
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const sendNext = async (): Promise<void> => {
    for (let part = missing.shift(); part; part = missing.shift()) {
      const number = part.partNumber ?? 1;
      const start = (number - 1) * partSize;
      await putWithRetries(
        urlsOf(upload.name ?? "", number, part.url),
        file.slice(start, start + partSize),
        (bytes) => {
          sent.set(number, bytes);
          tell();
        },
        either,
      );
    }
  };
  tell();
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, sendNext));
  } finally {
    failed.abort();
  }
}

/** The URL that came with the upload, then fresh ones. */
function urlsOf(upload: string, number: number, first: string | undefined): () => Promise<string> {
  let url = first;
  return async () => {
    const known = url;
    url = undefined;
    if (known !== undefined) return known;
    const fresh = await getUpload(upload);
    return fresh.partUrls?.find(({ partNumber }) => partNumber === number)?.url ?? "";
  };
}

/** Tries a part again, each time with a URL signed afresh. */
async function putWithRetries(
  freshUrl: () => Promise<string>,
  part: Blob,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await put(await freshUrl(), part, onProgress, signal);
      return;
    } catch (error) {
      const again = error instanceof PutFailed || (error instanceof ApiError && error.passing);
      if (!again || tried === TRIES || signal.aborted) throw error;
      onProgress(0);
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tried));
    }
  }
}
