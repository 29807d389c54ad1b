/** Hashes a file away from the page's thread, piece by piece, so that neither its size nor its speed is felt. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

const PIECE_BYTES = 4 * 1024 * 1024;

export type HashReport = { hashedBytes: number } | { sha256: string } | { error: string };

self.onmessage = (event: MessageEvent<Blob>) => {
  hash(event.data).catch((error: unknown) => report({ error: String(error) }));
};

async function hash(file: Blob): Promise<void> {
  const digest = sha256.create();
  for (let at = 0; at < file.size; at += PIECE_BYTES) {
    digest.update(new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer()));
    report({ hashedBytes: Math.min(at + PIECE_BYTES, file.size) });
  }
  report({ sha256: bytesToHex(digest.digest()) });
}

function report(message: HashReport): void {
  self.postMessage(message);
}
