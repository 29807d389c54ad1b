/** What the states of a job mean. */
import type { JobState } from "../api/types";

const ENDED: readonly JobState[] = ["STATE_SUCCEEDED", "STATE_FAILED", "STATE_CANCELLED"];

export function hasEnded(state: JobState | undefined): boolean {
  return state !== undefined && ENDED.includes(state);
}
