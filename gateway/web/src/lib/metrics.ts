/** What the metrics of a job are called and how they are written. */
import type { TrainingJob } from "../api/types";
import { measure, percent } from "./format";

type Write = (value: number) => string;

const KNOWN: Readonly<Record<string, { label: string; write: Write }>> = {
  preference_accuracy: { label: "Chosen preferred", write: percent },
  reward_margin: { label: "Reward margin", write: measure },
  exact_match: { label: "Exact match", write: percent },
  token_accuracy: { label: "Token accuracy", write: percent },
  loss: { label: "Loss", write: measure },
};

/** Name and format of a metric, with or without its `eval_` prefix. */
export function metricLook(name: string): { label: string; write: Write } {
  const bare = name.replace(/^eval_/, "");
  return KNOWN[bare] ?? { label: bare.replaceAll("_", " "), write: measure };
}

/** `7 % → 91.4 %`; `undefined` while nothing was measured. */
export function progressOf(job: TrainingJob): string | undefined {
  const [before, after] = [headline(job.metricsBefore), headline(job.metricsAfter)];
  return before === undefined && after === undefined ? undefined : `${before ?? "–"} → ${after ?? "–"}`;
}

/** The one number that says how good a model is: exact match where there is one. */
export function headline(metrics: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const name = ["exact_match", "eval_exact_match", "token_accuracy", "loss"].find(
    (key) => metrics?.[key] !== undefined,
  );
  if (name === undefined) return undefined;
  return metricLook(name).write(Number(metrics?.[name]));
}

export interface Curve {
  metric: string;
  name: string;
  color: "--chart-1" | "--chart-2" | "--chart-3";
}

export interface Chart {
  title: string;
  curves: readonly Curve[];
  write: Write;
  /** Range that the y axis has at least. */
  range?: readonly number[];
  /** What the values are divided by; 1 when absent. */
  unit?: number;
}

/** The charts of a job, most telling first. One without a single value is left out. */
export const CHARTS: readonly Chart[] = [
  {
    title: "Loss",
    curves: [
      { metric: "loss", name: "training", color: "--chart-1" },
      { metric: "eval_loss", name: "held out", color: "--chart-2" },
    ],
    write: measure,
  },
  {
    title: "Held-out accuracy",
    curves: [
      { metric: "eval_exact_match", name: "exact match", color: "--chart-3" },
      { metric: "eval_token_accuracy", name: "tokens", color: "--chart-2" },
    ],
    write: percent,
    range: [0, 1],
  },
  {
    title: "Learning rate",
    curves: [{ metric: "learning_rate", name: "learning rate", color: "--chart-1" }],
    write: measure,
    range: [0],
  },
  {
    title: "Gradient norm",
    curves: [{ metric: "grad_norm", name: "L2", color: "--chart-1" }],
    write: measure,
    range: [0],
  },
  {
    title: "Speed",
    curves: [{ metric: "samples_per_second", name: "samples/s", color: "--chart-1" }],
    write: measure,
    range: [0],
  },
  {
    title: "Memory",
    curves: [{ metric: "memory_bytes", name: "MiB", color: "--chart-1" }],
    write: measure,
    unit: 2 ** 20,
    range: [0],
  },
];
