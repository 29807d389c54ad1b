/** What the metrics of a job are called and how they are written. */
import type { TrainingJob } from "../api/types";
import { count, measure, percent } from "./format";

type Write = (value: number) => string;

const KNOWN: Readonly<Record<string, { label: string; write: Write }>> = {
  preference_accuracy: { label: "Chosen preferred", write: percent },
  reward_margin: { label: "Reward margin", write: measure },
  exact_match: { label: "Exact match", write: percent },
  vqa_accuracy: { label: "VQA accuracy", write: percent },
  rouge_l: { label: "ROUGE-L", write: percent },
  token_accuracy: { label: "Token accuracy", write: percent },
  image_to_text_recall_at_1: { label: "Image to text, recall@1", write: percent },
  image_to_text_recall_at_5: { label: "Image to text, recall@5", write: percent },
  image_to_text_recall_at_10: { label: "Image to text, recall@10", write: percent },
  text_to_image_recall_at_1: { label: "Text to image, recall@1", write: percent },
  text_to_image_recall_at_5: { label: "Text to image, recall@5", write: percent },
  text_to_image_recall_at_10: { label: "Text to image, recall@10", write: percent },
  recall_at_1: { label: "Recall@1", write: percent },
  recall_at_5: { label: "Recall@5", write: percent },
  recall_at_10: { label: "Recall@10", write: percent },
  ndcg_at_5: { label: "nDCG@5", write: percent },
  ndcg_at_10: { label: "nDCG@10", write: percent },
  loss: { label: "Loss", write: measure },
};

/** Name and format of a metric, with or without its `eval_` prefix. */
export function metricLook(name: string): { label: string; write: Write } {
  const bare = name.replace(/^eval_/, "");
  return KNOWN[bare] ?? { label: bare.replaceAll("_", " "), write: measure };
}

/** Names of metrics, those first that say most, what is not known last. */
export function inOrder(names: Iterable<string>): string[] {
  const order = Object.keys(KNOWN);
  const place = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...new Set(names)].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/** `7 % → 91.4 %`; `undefined` while nothing was measured. */
export function progressOf(job: TrainingJob): string | undefined {
  const [before, after] = [headline(job.metricsBefore), headline(job.metricsAfter)];
  return before === undefined && after === undefined ? undefined : `${before ?? "–"} → ${after ?? "–"}`;
}

/** `Loss 0.12 at step 120, 2 evaluations since without progress`; `undefined` before the first evaluation. */
export function bestOf(job: TrainingJob): string | undefined {
  const best = job.progress?.best;
  if (best === undefined) return undefined;
  const { label, write } = metricLook(best.metric ?? "loss");
  const since = best.evaluationsWithoutProgress ?? 0;
  const waited = since ? `, ${since} evaluation${since === 1 ? "" : "s"} since without progress` : "";
  return `${label} ${write(best.value ?? 0)} at step ${count(best.step)}${waited}`;
}

/** What says how good a model is, most telling first: a model has those of what it was trained for. */
const TELLING = [
  "exact_match",
  "rouge_l",
  "preference_accuracy",
  "image_to_text_recall_at_1",
  "ndcg_at_5",
  "token_accuracy",
  "loss",
];

/** The one number that says how good a model is. */
export function headline(metrics: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const name = TELLING.flatMap((bare) => [bare, `eval_${bare}`]).find((key) => metrics?.[key] !== undefined);
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

const MIB = 2 ** 20;

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
      { metric: "eval_vqa_accuracy", name: "VQA", color: "--chart-1" },
      { metric: "eval_rouge_l", name: "ROUGE-L", color: "--chart-3" },
      { metric: "eval_token_accuracy", name: "tokens", color: "--chart-2" },
    ],
    write: percent,
    range: [0, 1],
  },
  {
    title: "Held-out preference",
    curves: [{ metric: "eval_preference_accuracy", name: "chosen preferred", color: "--chart-3" }],
    write: percent,
    range: [0, 1],
  },
  {
    title: "Held-out recall",
    curves: [
      { metric: "eval_image_to_text_recall_at_1", name: "image to text @1", color: "--chart-3" },
      { metric: "eval_text_to_image_recall_at_1", name: "text to image @1", color: "--chart-2" },
      { metric: "eval_recall_at_1", name: "recall@1", color: "--chart-3" },
      { metric: "eval_ndcg_at_5", name: "nDCG@5", color: "--chart-1" },
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
    title: "Tokens",
    curves: [{ metric: "tokens_per_second", name: "tokens/s", color: "--chart-1" }],
    write: measure,
    range: [0],
  },
  {
    title: "Memory",
    curves: [
      { metric: "memory_bytes", name: "training, MiB", color: "--chart-1" },
      { metric: "system_memory_bytes", name: "all processes, MiB", color: "--chart-2" },
      { metric: "system_memory_peak_bytes", name: "first process at most, MiB", color: "--chart-3" },
    ],
    write: measure,
    unit: MIB,
    range: [0],
  },
  {
    title: "Processor",
    curves: [{ metric: "system_cpu_percent", name: "% of a core", color: "--chart-1" }],
    write: measure,
    range: [0],
  },
  {
    title: "Disk",
    curves: [{ metric: "system_disk_read_bytes_per_second", name: "read, MiB/s", color: "--chart-1" }],
    write: measure,
    unit: MIB,
    range: [0],
  },
  {
    title: "Accelerator",
    curves: [{ metric: "system_gpu_percent", name: "% busy", color: "--chart-1" }],
    write: measure,
    range: [0, 100],
  },
  {
    title: "Accelerator memory",
    curves: [{ metric: "system_gpu_memory_bytes", name: "used, MiB", color: "--chart-1" }],
    write: measure,
    unit: MIB,
    range: [0],
  },
  {
    title: "Accelerator heat and power",
    curves: [
      { metric: "system_gpu_celsius", name: "°C", color: "--chart-3" },
      { metric: "system_gpu_watts", name: "W", color: "--chart-1" },
    ],
    write: measure,
    range: [0],
  },
];

/**
 * Those of a job that measured these metrics. While nothing held out was measured, the first two say so: which
 * measures a model has follows from what it is trained for.
 */
export function chartsOf(measured: ReadonlySet<string>): Chart[] {
  const begun = [...measured].some((name) => name.startsWith("eval_"));
  return CHARTS.filter(
    ({ curves }, place) => curves.some(({ metric }) => measured.has(metric)) || (!begun && place < 2),
  );
}
