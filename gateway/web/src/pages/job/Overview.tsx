/** The curves of a job, what it measured before and after, and what it was asked to do. */
import { Link } from "react-router";
import type { MetricPoint, TrainingJob } from "../../api/types";
import { BeforeAfter } from "../../components/BeforeAfter";
import { Copyable } from "../../components/Copyable";
import { LineChart } from "../../components/LineChart";
import { Columns, Facts, Panel } from "../../components/Page";
import { enumLabel, int, measure, moment, shortDigest } from "../../lib/format";
import { seriesOf } from "../../lib/history";
import { bestOf, chartsOf } from "../../lib/metrics";
import { baseModelLabel } from "../../lib/models";
import { idOf, lastOf, pages } from "../../lib/names";
import css from "./job.module.css";

export function Overview({ job, points }: { job: TrainingJob; points: readonly MetricPoint[] }) {
  const measured = new Set(points.flatMap((point) => Object.keys(point.values ?? {})));
  return (
    <div className="stack">
      <Panel>
        <div className={css.charts}>
          {chartsOf(measured).map(({ title, curves, write, range, unit = 1 }) => (
            <LineChart
              key={title}
              title={title}
              lines={curves.map(({ metric, ...curve }) => ({
                ...curve,
                samples: seriesOf(points, metric, beforeOf(job, metric)).map(({ x, y }) => ({
                  x,
                  y: y / unit,
                })),
              }))}
              lastStep={int(points.at(-1)?.step)}
              format={write}
              {...(range && { range })}
            />
          ))}
        </div>
      </Panel>
      <Columns>
        <BeforeAfter before={job.metricsBefore} after={job.metricsAfter} />
        <Spec job={job} />
      </Columns>
    </div>
  );
}

/** The untrained model's value of a metric of evaluation, which the job holds without the `eval_` prefix. */
function beforeOf(job: TrainingJob, metric: string): number | undefined {
  return metric.startsWith("eval_") ? job.metricsBefore?.[metric.slice("eval_".length)] : undefined;
}

function Spec({ job }: { job: TrainingJob }) {
  const spec = job.resolvedSpec ?? job.spec;
  const version = spec.datasetVersion;
  const numbers = spec.hyperparameters ?? {};
  const number = (value: number | string | undefined) =>
    value === undefined ? undefined : measure(Number(value));
  return (
    <Panel title="What runs">
      <Facts
        rows={[
          [
            "Data",
            version && (
              <Link to={pages.version(version)}>
                {idOf(version, "datasets")} {lastOf(version)}
              </Link>
            ),
          ],
          ["Base model", baseModelLabel(spec.baseModel)],
          ["Method", enumLabel(spec.adaptation?.method, "METHOD_")],
          ["LoRA rank", number(spec.adaptation?.lora?.rank)],
          ["LoRA layers", spec.adaptation?.lora?.targetModules],
          ["Epochs", number(numbers.epochs)],
          ["Most steps", number(numbers.maxSteps)],
          ["Batch size", number(numbers.batchSize)],
          ["Learning rate", number(numbers.learningRate)],
          ["Schedule", enumLabel(numbers.schedule, "SCHEDULE_")],
          ["Precision", enumLabel(numbers.precision, "PRECISION_")],
          ["Seed", numbers.seed],
          ["Best evaluation", bestOf(job)],
          ["Attempt", job.attempt],
          ["Created", moment(job.createTime)],
          ["Ended", job.endTime && moment(job.endTime)],
          ["Spec", job.specDigest && <Copyable value={job.specDigest} shown={shortDigest(job.specDigest)} />],
          ["Name", <Copyable key="name" value={job.name ?? ""} />],
        ]}
      />
    </Panel>
  );
}
