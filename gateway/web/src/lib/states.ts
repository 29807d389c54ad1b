/** What the states of a job mean. */
import type { JobState, TrainingJob } from "../api/types";
import { int } from "./format";

const ENDED: readonly JobState[] = ["STATE_SUCCEEDED", "STATE_FAILED", "STATE_CANCELLED"];

export function hasEnded(state: JobState | undefined): boolean {
  return state !== undefined && ENDED.includes(state);
}

/** Whether a later job may go on from this one: what succeeded or failed keeps the newest state that it saved. */
export function keepsCheckpoint({ state, progress }: TrainingJob): boolean {
  return (state === "STATE_SUCCEEDED" || state === "STATE_FAILED") && int(progress?.step) > 0;
}
