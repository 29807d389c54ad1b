/** Bytes to the object store. XMLHttpRequest, because fetch does not tell how far an upload is. */
import { ApiError } from "../api/errors";

/** The object store refused a part, or did not answer; a fresh URL may help. */
export class PutFailed extends Error {
  override readonly name = "PutFailed";
}

/** PUTs one part to its signed URL. Rejects with PutFailed, or AbortError. */
export function put(
  url: string,
  part: Blob,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
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

/** Tries a part again, each time with a URL signed afresh. */
export async function putWithRetries(
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
