import { expect, test } from "vitest";
import type { TrainingJob } from "../api/types";
import { keepsCheckpoint } from "./states";

test("a job goes on from what succeeded or failed after its first step", () => {
  const job = (state: string, step: string) =>
    ({ state: `STATE_${state}`, progress: { step }, spec: {} }) as unknown as TrainingJob;
  expect(keepsCheckpoint(job("SUCCEEDED", "4"))).toBe(true);
  expect(keepsCheckpoint(job("FAILED", "4"))).toBe(true);
  expect(keepsCheckpoint(job("FAILED", "0"))).toBe(false);
  expect(keepsCheckpoint(job("CANCELLED", "4"))).toBe(false);
  expect(keepsCheckpoint(job("RUNNING", "4"))).toBe(false);
});
