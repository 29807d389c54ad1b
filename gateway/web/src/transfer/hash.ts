/** SHA-256 of a file, with progress. */
import type { HashReport } from "./hash.worker";

/** Lower-case hexadecimal SHA-256. Rejects when the file cannot be read or `signal` aborts. */
export function sha256Of(
  file: Blob,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const worker = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
  return new Promise<string>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<HashReport>) => {
      if ("hashedBytes" in data) onProgress(data.hashedBytes);
      else if ("sha256" in data) resolve(data.sha256);
      else reject(new Error(`The file cannot be read: ${data.error}. Was it moved or changed?`));
    };
    worker.onerror = (event) => reject(new Error(event.message || "The file cannot be hashed."));
    signal.addEventListener("abort", () => reject(new DOMException("Cancelled.", "AbortError")), {
      once: true,
    });
    worker.postMessage(file);
  }).finally(() => worker.terminate());
}
