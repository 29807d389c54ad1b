/** From what a person typed to the job's spec, and from the server's problems back to the fields. Pure. */
import { ApiError } from "../api/errors";
import type { BaseModel, TrainingJobSpec, Validation } from "../api/types";

/** The texts of the form. Empty means that the service chooses. */
export interface FormValues {
  displayName: string;
  datasetVersion: string;
  /** `preset:tiny-llava`, `model:projects/…/models/…`, `hub` or `path`. */
  base: string;
  hubRepo: string;
  hubRevision: string;
  path: string;
  method: "METHOD_UNSPECIFIED" | "METHOD_FULL" | "METHOD_LORA";
  /** A name from the operator's list; empty for processors. */
  accelerator: string;
  /** On each node; empty means 1. */
  acceleratorCount: string;
  spot: boolean;
  queue: string;
  priority: string;
  augmentation: AugmentationPreset;
  /** Also where texts may no longer be true of a changed picture. */
  allowTextBreaking: boolean;
  numbers: Partial<Record<NumberField, string>>;
}

export type AugmentationPreset = "PRESET_UNSPECIFIED" | "PRESET_LIGHT" | "PRESET_STANDARD" | "PRESET_STRONG";

export type NumberField = (typeof NUMBERS)[number]["key"];

interface NumberRow {
  key: string;
  group: "hyperparameters" | "lora";
  label: string;
  hint: string;
  /** int64 fields travel as text. */
  long?: boolean;
  /** Shown at once; the others under "More". */
  common?: boolean;
}

export const NUMBERS = [
  {
    key: "epochs",
    group: "hyperparameters",
    label: "Epochs",
    hint: "Passes over the training split",
    common: true,
  },
  {
    key: "learningRate",
    group: "hyperparameters",
    label: "Learning rate",
    hint: "Highest, after warm-up",
    common: true,
  },
  {
    key: "batchSize",
    group: "hyperparameters",
    label: "Batch size",
    hint: "Examples a forward pass",
    common: true,
  },
  { key: "rank", group: "lora", label: "LoRA rank", hint: "Width of the adapters", common: true },
  { key: "alpha", group: "lora", label: "LoRA alpha", hint: "Scale is alpha / rank", common: true },
  {
    key: "maxSteps",
    group: "hyperparameters",
    label: "Most steps",
    hint: "Stops there, whatever the epochs",
    long: true,
  },
  {
    key: "gradientAccumulationSteps",
    group: "hyperparameters",
    label: "Gradient accumulation",
    hint: "Passes a step",
  },
  { key: "warmupRatio", group: "hyperparameters", label: "Warm-up share", hint: "0 to below 1" },
  { key: "weightDecay", group: "hyperparameters", label: "Weight decay", hint: "Not on biases and norms" },
  { key: "maxGradNorm", group: "hyperparameters", label: "Gradient clip", hint: "Global L2 norm" },
  { key: "maxLength", group: "hyperparameters", label: "Longest example", hint: "Tokens, images included" },
  { key: "seed", group: "hyperparameters", label: "Seed", hint: "Weights, order, dropout", long: true },
] as const satisfies readonly NumberRow[];

export type Problems = ReadonlyMap<string, string>;

/** Where each field of the form is in the request. */
const PATHS: Readonly<Record<string, string>> = {
  "training_job.display_name": "displayName",
  "training_job.spec.dataset_version": "datasetVersion",
  "training_job.spec.base_model": "base",
  "training_job.spec.base_model.preset": "base",
  "training_job.spec.base_model.model": "base",
  "training_job.spec.base_model.hub": "hubRepo",
  "training_job.spec.base_model.hub.repo_id": "hubRepo",
  "training_job.spec.base_model.hub.revision": "hubRevision",
  "training_job.spec.base_model.path": "path",
  "training_job.spec.adaptation.method": "method",
  "training_job.spec.adaptation.lora": "method",
  "training_job.spec.augmentation": "augmentation",
  "training_job.spec.augmentation.preset": "augmentation",
  "training_job.spec.resources.spot": "spot",
  "training_job.spec.resources.queue": "queue",
  "training_job.spec.resources.priority": "priority",
  "training_job.spec.resources.accelerator": "accelerator",
  "training_job.spec.resources.accelerator_count": "acceleratorCount",
  ...Object.fromEntries(
    NUMBERS.map(({ key, group }) => {
      const parent = group === "lora" ? "adaptation.lora" : "hyperparameters";
      return [`training_job.spec.${parent}.${snake(key)}`, key];
    }),
  ),
};

/** Key of the problems that belong to no field of the form. */
export const ELSEWHERE = "";

/** The spec, or what is not yet a number. `undefined` while something required is missing. */
export function specOf(values: FormValues): { spec: TrainingJobSpec | undefined; problems: Problems } {
  const problems = new Map<string, string>();
  const groups: Record<NumberRow["group"], Record<string, number | string>> = {
    hyperparameters: {},
    lora: {},
  };
  for (const { key, group, ...row } of NUMBERS) {
    const text = values.numbers[key]?.trim() ?? "";
    if (text === "" || (group === "lora" && values.method !== "METHOD_LORA")) continue;
    const value = Number(text.replace(",", "."));
    if (Number.isNaN(value)) problems.set(key, `"${text}" is not a number.`);
    else groups[group][key] = "long" in row ? text : value;
  }
  const acceleratorCount = Number(values.acceleratorCount.trim() || "1");
  if (values.accelerator !== "" && Number.isNaN(acceleratorCount))
    problems.set("acceleratorCount", `"${values.acceleratorCount}" is not a number.`);
  const baseModel = baseModelOf(values);
  if (problems.size > 0 || baseModel === undefined || values.datasetVersion === "")
    return { spec: undefined, problems };
  const lora = Object.keys(groups.lora).length > 0 ? { lora: groups.lora } : {};
  const adaptation =
    values.method === "METHOD_UNSPECIFIED" ? {} : { adaptation: { method: values.method, ...lora } };
  return {
    spec: {
      datasetVersion: values.datasetVersion,
      baseModel,
      ...adaptation,
      hyperparameters: groups.hyperparameters,
      ...augmentationOf(values),
      ...resourcesOf(values, acceleratorCount),
    },
    problems,
  };
}

function augmentationOf({
  augmentation,
  allowTextBreaking,
}: FormValues): Pick<TrainingJobSpec, "augmentation"> {
  if (augmentation === "PRESET_UNSPECIFIED") return {};
  return { augmentation: { preset: augmentation, ...(allowTextBreaking && { allowTextBreaking }) } };
}

function resourcesOf(values: FormValues, acceleratorCount: number): Pick<TrainingJobSpec, "resources"> {
  const { accelerator, spot } = values;
  const [queue, priority] = [values.queue.trim(), values.priority.trim()];
  const resources: NonNullable<TrainingJobSpec["resources"]> = {
    ...(accelerator && { accelerator, acceleratorCount }),
    ...(spot && { spot: "SPOT_ONLY" }),
    ...(queue && { queue }),
    ...(priority && { priority }),
  };
  return Object.keys(resources).length > 0 ? { resources } : {};
}

function baseModelOf(values: FormValues): BaseModel | undefined {
  const [kind, ...rest] = values.base.split(":");
  const id = rest.join(":");
  if (kind === "preset" && id) return { preset: id };
  if (kind === "model" && id) return { model: id };
  if (kind === "hub" && values.hubRepo) {
    return { hub: { repoId: values.hubRepo.trim(), revision: values.hubRevision.trim() } };
  }
  if (kind === "path" && values.path) return { path: values.path.trim() };
  return undefined;
}

/** What the server said about the job, by field of the form; the rest under ELSEWHERE. */
export function problemsOf(validation: Validation | undefined, error: Error | null): Problems {
  const said = [
    ...(validation?.problems ?? []).map(({ field = "", message = "", remedy = "" }) => ({
      field,
      text: `${message} ${remedy}`.trim(),
    })),
    ...(error instanceof ApiError
      ? error.violations.map(({ field, description }) => ({ field, text: description }))
      : []),
  ];
  const problems = new Map<string, string>();
  for (const { field, text } of said) {
    const known = PATHS[field];
    const key = known ?? ELSEWHERE;
    const line = known === undefined && field !== "" ? `${field}: ${text}` : text;
    problems.set(key, [problems.get(key), line].filter(Boolean).join("\n"));
  }
  if (error !== null && problems.size === 0) problems.set(ELSEWHERE, error.message);
  return problems;
}

/** What the service would take where nothing was typed. */
export function chosenFor(
  row: { key: string; group: NumberRow["group"] },
  validation: Validation | undefined,
): string {
  const spec = validation?.resolvedSpec;
  const group = row.group === "lora" ? spec?.adaptation?.lora : spec?.hyperparameters;
  const value = (group as Record<string, unknown> | undefined)?.[row.key];
  return typeof value === "number" || typeof value === "string" ? String(value) : "";
}

function snake(camel: string): string {
  return camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
