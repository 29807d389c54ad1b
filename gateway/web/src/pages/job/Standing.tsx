/** Where a job stands: its state as a sentence, its progress, its time, and how much better it has become. */
import type { TrainingJob } from "../../api/types";
import { hasEnded } from "../../lib/states";
import { Meter } from "../../components/Meter";
import { Figures, Panel } from "../../components/Page";
import { useNow } from "../../components/Time";
import { count, duration, durationSeconds, int, measure, secondsBetween } from "../../lib/format";
import { progressOf } from "../../lib/metrics";
import css from "./job.module.css";

export function Standing({ job, connected }: { job: TrainingJob; connected: boolean }) {
  const now = useNow(1000);
  const { step, totalSteps, epoch, phase, remaining } = job.progress ?? {};
  const ended = hasEnded(job.state);
  const seconds = secondsBetween(job.startTime, job.endTime ?? new Date(now).toISOString());
  const left = durationSeconds(remaining);
  const rows: [string, string][] = [
    ["Step", int(totalSteps) > 0 ? `${count(step)} of ${count(totalSteps)}` : count(step)],
    ["Epoch", measure(Number((epoch ?? 0).toFixed(2)))],
  ];
  // While it runs nothing comes or goes, so that what is read stays where it is.
  if (!ended) rows.push(["Doing", phase ?? "–"]);
  if (!ended || seconds !== undefined) rows.push(["Time", seconds === undefined ? "–" : duration(seconds)]);
  if (!ended) rows.push(["Left", left === undefined ? "–" : `about ${duration(left)}`]);
  const gain = progressOf(job);
  if (!ended || gain !== undefined) rows.push(["Held out, before → now", gain ?? "–"]);
  return (
    <Panel>
      <div className={css.standing}>
        <p className={job.state === "STATE_FAILED" ? css.failed : undefined} role="status">
          {sentence(job)} {job.stateReason && <code className={css.reason}>{job.stateReason}</code>}
          {!connected && !ended && <span className="muted"> · connection lost, taking it up again…</span>}
        </p>
        {!ended && <Meter label="Steps" done={int(step)} total={int(totalSteps)} />}
        <Figures rows={rows} />
      </div>
    </Panel>
  );
}

function sentence(job: TrainingJob): string {
  if (job.cancelRequested && !hasEnded(job.state)) return "Stopping, as asked.";
  if (job.pauseRequested) return "Pausing, as asked: a checkpoint is saved first.";
  return job.stateMessage || "Waiting for the first report.";
}
