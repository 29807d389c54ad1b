import { expect, test } from "vitest";
import type { JobState, WatchUpdate } from "../api/types";
import { extend, NOTHING_YET, seriesOf } from "./history";

const metric = (step: number, values: Record<string, number>, attempt = 1): WatchUpdate => ({
  metric: { step: String(step), values, attempt },
});

test("a watch that repeats itself after a cut adds nothing twice", () => {
  const updates: WatchUpdate[] = [
    { event: { sequence: "1", reason: "QUEUED" } },
    { logLine: { sequence: "1", message: "hello" } },
    metric(1, { loss: 2 }),
  ];
  const once = extend(NOTHING_YET, updates);
  const twice = extend(once, updates);
  expect(twice.events).toHaveLength(1);
  expect(twice.logLines).toHaveLength(1);
  expect(seriesOf(twice.points, "loss")).toEqual([{ x: 1, y: 2 }]);
});

test("a later attempt's value replaces the earlier one's at the same step", () => {
  const history = extend(NOTHING_YET, [
    metric(1, { loss: 3 }),
    metric(2, { loss: 2 }),
    metric(2, { loss: 1 }, 2),
  ]);
  expect(seriesOf(history.points, "loss")).toEqual([
    { x: 1, y: 3 },
    { x: 2, y: 1 },
  ]);
});

test("an evaluation and a training step at the same step are both kept", () => {
  const history = extend(NOTHING_YET, [metric(5, { loss: 1 }), metric(5, { eval_loss: 2 })]);
  expect(seriesOf(history.points, "loss")).toEqual([{ x: 5, y: 1 }]);
  expect(seriesOf(history.points, "eval_loss")).toEqual([{ x: 5, y: 2 }]);
});

test("what was measured before training stands at step 0, once", () => {
  const { points } = extend(NOTHING_YET, [metric(0, { eval_loss: 4 }), metric(9, { eval_loss: 2 })]);
  expect(seriesOf(points, "eval_loss", 4)).toEqual([
    { x: 0, y: 4 },
    { x: 9, y: 2 },
  ]);
});

test("points that arrive late are put in order, and what is not a number is left out", () => {
  const history = extend(NOTHING_YET, [
    metric(3, { loss: 1 }),
    metric(1, { loss: 4 }),
    metric(2, { loss: NaN }),
  ]);
  expect(seriesOf(history.points, "loss").map((point) => point.x)).toEqual([1, 3]);
});

const job = (state: JobState): WatchUpdate => ({
  trainingJob: { state, spec: { datasetVersion: "projects/p/datasets/d/versions/v1", baseModel: {} } },
});

test("the newest job wins and the mark of the present is remembered", () => {
  const history = extend(extend(NOTHING_YET, [job("STATE_QUEUED")]), [
    job("STATE_RUNNING"),
    { snapshotComplete: {} },
  ]);
  expect(history.job?.state).toBe("STATE_RUNNING");
  expect(extend(history, []).caughtUp).toBe(true);
});
