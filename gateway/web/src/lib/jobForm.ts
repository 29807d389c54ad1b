/** From what a person typed to the job's spec, and from the server's problems back to the fields. Pure. */
import { ApiError } from "../api/errors";
import type { BaseModel, TrainingJobSpec, Validation } from "../api/types";
import {
  CHOICES,
  GROUPS,
  NUMBERS,
  SWITCHES,
  type ChoiceField,
  type NumberField,
  type SwitchField,
} from "./jobFields";
import { isTree, pruned, snake, type Tree } from "./trees";

/** The texts of the form. Empty means that the service chooses. */
export interface FormValues {
  displayName: string;
  datasetVersion: string;
  /** `preset:tiny-llava`, `model:projects/…/models/…`, `hub` or `path`. */
  base: string;
  hubRepo: string;
  hubRevision: string;
  path: string;
  method: Method;
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
  choices: Partial<Record<ChoiceField, string>>;
  switches: Partial<Record<SwitchField, boolean>>;
  /** What a copied job asks for and the form has no field for. */
  kept: Partial<TrainingJobSpec>;
}

export type Method = "METHOD_UNSPECIFIED" | "METHOD_FULL" | "METHOD_LORA" | "METHOD_QLORA";

export type AugmentationPreset = "PRESET_UNSPECIFIED" | "PRESET_LIGHT" | "PRESET_STANDARD" | "PRESET_STRONG";

/** Everything chosen by the service. */
export const EMPTY_FORM: FormValues = {
  displayName: "",
  datasetVersion: "",
  base: "",
  hubRepo: "",
  hubRevision: "",
  path: "",
  method: "METHOD_UNSPECIFIED",
  accelerator: "",
  acceleratorCount: "",
  spot: false,
  queue: "",
  priority: "",
  augmentation: "PRESET_UNSPECIFIED",
  allowTextBreaking: false,
  numbers: {},
  choices: {},
  switches: {},
  kept: {},
};

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
    [...NUMBERS, ...CHOICES, ...SWITCHES].map(({ key, group }) => [
      `training_job.spec.${GROUPS[group].join(".")}.${snake(key)}`,
      key,
    ]),
  ),
};

/** Key of the problems that belong to no field of the form. */
export const ELSEWHERE = "";

/** Settings of LoRA have no meaning beside other methods. */
export function hasLora({ method }: Pick<FormValues, "method">): boolean {
  return method === "METHOD_LORA" || method === "METHOD_QLORA";
}

/** The spec, or what is not yet a number. `undefined` while something required is missing. */
export function specOf(values: FormValues): { spec: TrainingJobSpec | undefined; problems: Problems } {
  const problems = new Map<string, string>();
  const groups: Record<keyof typeof GROUPS, Record<string, number | string | boolean>> = {
    hyperparameters: {},
    adaptation: {},
    lora: {},
  };
  for (const { key, group, ...row } of NUMBERS) {
    const text = values.numbers[key]?.trim() ?? "";
    if (text === "" || (group === "lora" && !hasLora(values))) continue;
    const value = Number(text.replace(",", "."));
    if (Number.isNaN(value)) problems.set(key, `"${text}" is not a number.`);
    else groups[group][key] = "long" in row ? text : value;
  }
  for (const { key, group } of CHOICES) {
    const value = values.choices[key];
    if (value) groups[group][key] = value;
  }
  for (const { key, group } of SWITCHES) {
    if (values.switches[key] && (group !== "lora" || hasLora(values))) groups[group][key] = true;
  }
  const acceleratorCount = Number(values.acceleratorCount.trim() || "1");
  if (values.accelerator !== "" && Number.isNaN(acceleratorCount))
    problems.set("acceleratorCount", `"${values.acceleratorCount}" is not a number.`);
  const baseModel = baseModelOf(values);
  if (problems.size > 0 || baseModel === undefined || values.datasetVersion === "")
    return { spec: undefined, problems };
  const method = values.method === "METHOD_UNSPECIFIED" ? {} : { method: values.method };
  const adaptation = pruned({ ...method, ...groups.adaptation, lora: groups.lora });
  const typed: TrainingJobSpec = {
    datasetVersion: values.datasetVersion,
    baseModel,
    ...(Object.keys(adaptation).length > 0 && { adaptation }),
    hyperparameters: groups.hyperparameters,
    ...augmentationOf(values),
    ...resourcesOf(values, acceleratorCount),
  };
  return { spec: over(keptOf(values), typed) as unknown as TrainingJobSpec, problems };
}

/** What is kept of a copied job beside what is chosen now. */
function keptOf({ kept, method, augmentation }: FormValues): Tree {
  const rest: Tree = structuredClone(kept);
  if (augmentation !== "PRESET_UNSPECIFIED") delete rest["augmentation"];
  if (!hasLora({ method }) && isTree(rest["adaptation"])) delete rest["adaptation"]["lora"];
  return pruned(rest);
}

/** Two trees as one; where both have a value, `above` wins. */
function over(below: Tree, above: object): Tree {
  const merged = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const under = merged[key];
    merged[key] = isTree(under) && isTree(value) ? over(under, value) : value;
  }
  return merged;
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
  row: { key: string; group: keyof typeof GROUPS },
  validation: Validation | undefined,
): string {
  const path = [...GROUPS[row.group], row.key];
  const value = path.reduce<unknown>(
    (tree, key) => (isTree(tree) ? tree[key] : undefined),
    validation?.resolvedSpec,
  );
  return typeof value === "number" || typeof value === "string" ? String(value) : "";
}
