/** WatchTrainingJob as an async loop that reconnects where it was cut. */
import { EventParser } from "../lib/sse";
import { ApiError, fromStatus, type Status } from "./errors";
import { send } from "./http";
import type { WatchUpdate } from "./types";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

interface Listener {
  update: (update: WatchUpdate) => void;
  /** False while the stream is cut and another try is due. */
  connected: (connected: boolean) => void;
}

/**
 * Tells everything that happened to a job and then what happens, each thing once, until the job ends or `signal` aborts.
 *
 * A cut stream is resumed from the last cursor. Throws ApiError when trying again cannot help.
 */
export async function watchJob(name: string, listener: Listener, signal: AbortSignal): Promise<void> {
  let cursor = "";
  let wait = FIRST_WAIT_MS;
  const aborted = () => signal.aborted;
  while (!aborted()) {
    try {
      for await (const event of stream(name, cursor, signal)) {
        listener.connected(true);
        wait = FIRST_WAIT_MS;
        if (event.type === "done") return;
        if (event.type === "error") throw fromStatus(JSON.parse(event.data) as Status);
        cursor = event.id || cursor;
        listener.update(JSON.parse(event.data) as WatchUpdate);
      }
    } catch (error) {
      if (aborted()) return;
      if (error instanceof ApiError && !error.passing) throw error;
    }
    listener.connected(false);
    await sleep(wait, signal);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

async function* stream(name: string, cursor: string, signal: AbortSignal) {
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (cursor) headers["Last-Event-ID"] = cursor;
  const response = await send(`${name}:watch`, { headers, signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  const parser = new EventParser();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield* parser.feed(read.value);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
