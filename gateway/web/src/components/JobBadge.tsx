/** A job's state as a word and a colour. */
import type { JobState } from "../api/types";
import { enumLabel } from "../lib/format";
import css from "./JobBadge.module.css";

const TONE: Partial<Record<JobState, string | undefined>> = {
  STATE_QUEUED: css.quiet,
  STATE_STARTING: css.active,
  STATE_RUNNING: css.active,
  STATE_RETRYING: css.warn,
  STATE_PAUSED: css.quiet,
  STATE_SUCCEEDED: css.good,
  STATE_FAILED: css.bad,
  STATE_CANCELLED: css.quiet,
};

export function JobBadge({ state }: { state: JobState | undefined }) {
  if (state === undefined) return null;
  return (
    <span className={`${css.badge ?? ""} ${TONE[state] ?? ""}`}>
      <span className={css.dot} aria-hidden="true" />
      {enumLabel(state, "STATE_")}
    </span>
  );
}
