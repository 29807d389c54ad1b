/** Everything about a job, live. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { WatchUpdate } from "../../api/types";
import { watchJob } from "../../api/watch";
import { extend, NOTHING_YET, type History } from "../../lib/history";

// Updates are shown together this often: a fast job sends hundreds a second.
const SHOW_EVERY_MS = 150;

export interface Watch {
  history: History;
  /** False while the stream is cut and is being taken up again. */
  connected: boolean;
  error: Error | undefined;
}

const START: Watch = { history: NOTHING_YET, connected: true, error: undefined };

/** Mount it anew (by key) for another job. */
export function useJobWatch(name: string): Watch {
  const [watch, setWatch] = useState(START);
  const queries = useQueryClient();
  useEffect(() => {
    const abort = new AbortController();
    let waiting: WatchUpdate[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      const batch = waiting;
      waiting = [];
      setWatch((before) => ({ ...before, history: extend(before.history, batch) }));
      if (batch.some(changesLists)) refreshLists(queries, name);
    };
    const listener = {
      update: (update: WatchUpdate) => {
        waiting.push(update);
        timer ??= setTimeout(show, SHOW_EVERY_MS);
      },
      connected: (connected: boolean) =>
        setWatch((before) => (before.connected === connected ? before : { ...before, connected })),
    };
    watchJob(name, listener, abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) setWatch((before) => ({ ...before, error: error as Error }));
    });
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [name, queries]);
  return watch;
}

/** Checkpoints, samples and artifacts appear with an event; the stream does not carry them. */
function changesLists(update: WatchUpdate): boolean {
  return (
    update.event !== undefined ||
    Object.keys(update.metric?.values ?? {}).some((key) => key.startsWith("eval_"))
  );
}

function refreshLists(queries: ReturnType<typeof useQueryClient>, job: string): void {
  for (const key of ["samples", "checkpoints", "artifacts", "attemptLogs"]) {
    void queries.invalidateQueries({ queryKey: [key, job] });
  }
}
