/** What a watch has told about a job so far. Pure: a new history for each batch of updates. */
import type { JobEvent, LogLine, MetricPoint, TrainingJob, WatchUpdate } from "../api/types";
import { int } from "./format";

export interface History {
  readonly job: TrainingJob | undefined;
  readonly events: readonly JobEvent[];
  readonly logLines: readonly LogLine[];
  /** In order of step, one a step and kind of measurement. */
  readonly points: readonly MetricPoint[];
  /** True once all that had happened before the watch began has arrived. */
  readonly caughtUp: boolean;
}

export const NOTHING_YET: History = { job: undefined, events: [], logLines: [], points: [], caughtUp: false };

/** Log lines kept in the page; an attempt's whole log is a file. */
export const LOG_LINES_KEPT = 5000;

export function extend(history: History, updates: readonly WatchUpdate[]): History {
  const events = updates.flatMap((update) => update.event ?? []);
  const logLines = updates.flatMap((update) => update.logLine ?? []);
  const points = updates.flatMap((update) => update.metric ?? []);
  return {
    job: updates.findLast((update) => update.trainingJob)?.trainingJob ?? history.job,
    events: appendNew(history.events, events),
    logLines: appendNew(history.logLines, logLines).slice(-LOG_LINES_KEPT),
    points: points.length === 0 ? history.points : mergePoints(history.points, points),
    caughtUp: history.caughtUp || updates.some((update) => update.snapshotComplete),
  };
}

/** Adds what is not there yet; both sides are in order of sequence. */
function appendNew<Line extends { sequence?: string }>(
  known: readonly Line[],
  fresh: readonly Line[],
): readonly Line[] {
  const last = int(known.at(-1)?.sequence);
  const added = fresh.filter((line) => int(line.sequence) > last);
  return added.length === 0 ? known : [...known, ...added];
}

/**
 * A later attempt repeats the steps after its checkpoint: what it measures there replaces the earlier values.
 */
function mergePoints(known: readonly MetricPoint[], fresh: readonly MetricPoint[]): readonly MetricPoint[] {
  const byStep = new Map<string, MetricPoint>(known.map((point) => [keyOf(point), point]));
  for (const point of fresh) {
    const before = byStep.get(keyOf(point));
    const values = before?.attempt === point.attempt ? { ...before?.values, ...point.values } : point.values;
    byStep.set(keyOf(point), { ...point, values: values ?? {} });
  }
  return [...byStep.values()].sort((a, b) => int(a.step) - int(b.step));
}

function keyOf(point: MetricPoint): string {
  const evaluation = Object.keys(point.values ?? {}).every((name) => name.startsWith("eval_"));
  return `${evaluation ? "eval" : "train"}:${point.step ?? "0"}`;
}

export interface Sample {
  readonly x: number;
  readonly y: number;
}

/** One metric as a line over steps. What was measured before training, when it is given, stands at step 0. */
export function seriesOf(points: readonly MetricPoint[], metric: string, before?: number): Sample[] {
  const line: Sample[] = before === undefined ? [] : [{ x: 0, y: before }];
  for (const point of points) {
    const y = Number(point.values?.[metric]);
    if (Number.isFinite(y) && (int(point.step) > 0 || line.length === 0))
      line.push({ x: int(point.step), y });
  }
  return line;
}
