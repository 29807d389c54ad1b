/** From what a person typed to the job's spec, and from the server's problems back to the fields. Pure. */
import { ApiError } from "../api/errors";
import type { BaseModel, TrainingJobSpec, Validation } from "../api/types";
import { enumLabel } from "./format";
import { FIELDS, segments, toText, toValue, type FieldRow, type Need, type SpecPath } from "./jobFields";
import { at, over, pruned, put, snake, type Tree } from "./trees";

/** The texts of the form. Empty means that the service chooses. */
export interface FormValues {
  displayName: string;
  datasetVersion: string;
  /** `preset:tiny-llava`, `model:projects/…/models/…`, `hub` or `path`. */
  base: string;
  hubRepo: string;
  hubRevision: string;
  path: string;
  augmentation: AugmentationPreset;
  /** Also where texts may no longer be true of a changed picture. */
  allowTextBreaking: boolean;
  /** What was typed or chosen in the fields of the table. */
  fields: Fields;
  /** What a copied job asks for and the form has no field for. */
  kept: Partial<TrainingJobSpec>;
}

export type Fields = Partial<Record<SpecPath, string>>;

export type AugmentationPreset = "PRESET_UNSPECIFIED" | "PRESET_LIGHT" | "PRESET_STANDARD" | "PRESET_STRONG";

/** Everything chosen by the service. */
export const EMPTY_FORM: FormValues = {
  displayName: "",
  datasetVersion: "",
  base: "",
  hubRepo: "",
  hubRevision: "",
  path: "",
  augmentation: "PRESET_UNSPECIFIED",
  allowTextBreaking: false,
  fields: {},
  kept: {},
};

/** What the server or the form has against a value, by path of the field, or name of one of FormValues. */
export type Problems = ReadonlyMap<string, string>;

/** Where the server's names of fields are in the form, beside those of the table. */
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
  "training_job.spec.augmentation": "augmentation",
  "training_job.spec.augmentation.preset": "augmentation",
};

/** Which field of the form is meant: of a whole group, its first. */
function fieldOf(name: string): string | undefined {
  const path = name.replace(/^training_job\.spec\./, "").replace(/\[.*$/, "");
  const named = FIELDS.map((row) => ({ row, path: segments(row).map(snake).join(".") }));
  const found =
    named.find((each) => each.path === path) ?? named.find((each) => each.path.startsWith(`${path}.`));
  return PATHS[name] ?? found?.row.path;
}

/** Key of the problems that belong to no field of the form. */
export const ELSEWHERE = "";

const METHOD = "adaptation.method";
const NEEDS: Readonly<Record<Need, (values: FormValues) => boolean>> = {
  lora: ({ fields }) => fields[METHOD] === "METHOD_LORA" || fields[METHOD] === "METHOD_QLORA",
  qlora: ({ fields }) => fields[METHOD] === "METHOD_QLORA",
  model: ({ base }) => base.startsWith("model:"),
  accelerator: ({ fields }) => Boolean(fields["resources.accelerator"]),
  preference: ({ fields }) => fields.objective !== "OBJECTIVE_CAUSAL_LM",
};

/** Whether a field has a meaning beside the others; where it has none it is neither shown nor sent. */
export function applies({ needs }: FieldRow, values: FormValues): boolean {
  return needs === undefined || NEEDS[needs](values);
}

/** The spec, or what is not yet a number. `undefined` while something required is missing. */
export function specOf(values: FormValues): { spec: TrainingJobSpec | undefined; problems: Problems } {
  const problems = new Map<string, string>();
  const typed: Tree = {};
  for (const row of FIELDS.filter((each) => applies(each, values))) {
    const text = values.fields[row.path]?.trim() ?? "";
    if (text === "") continue;
    const value = toValue(row, text);
    if (value === undefined) problems.set(row.path, `"${text}" is not a number.`);
    else put(typed, segments(row), value);
  }
  const baseModel = baseModelOf(values);
  if (problems.size > 0 || baseModel === undefined || values.datasetVersion === "")
    return { spec: undefined, problems };
  const kept: Tree = structuredClone(values.kept);
  if (values.augmentation !== "PRESET_UNSPECIFIED") delete kept["augmentation"];
  const spec: TrainingJobSpec = {
    datasetVersion: values.datasetVersion,
    baseModel,
    ...augmentationOf(values),
    ...over(pruned(kept), typed),
  };
  if (spec.resources?.accelerator) spec.resources.acceleratorCount ??= 1;
  return { spec, problems };
}

function augmentationOf({
  augmentation,
  allowTextBreaking,
}: FormValues): Pick<TrainingJobSpec, "augmentation"> {
  if (augmentation === "PRESET_UNSPECIFIED") return {};
  return { augmentation: { preset: augmentation, ...(allowTextBreaking && { allowTextBreaking }) } };
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
    const known = fieldOf(field);
    const key = known ?? ELSEWHERE;
    const line = known === undefined && field !== "" ? `${field}: ${text}` : text;
    problems.set(key, [problems.get(key), line].filter(Boolean).join("\n"));
  }
  if (error !== null && problems.size === 0) problems.set(ELSEWHERE, error.message);
  return problems;
}

/** What the service would take where nothing was typed. */
export function chosenFor(row: FieldRow, validation: Validation | undefined): string {
  const text = toText(row, at(validation?.resolvedSpec, segments(row)));
  return row.kind === "choice" ? enumLabel(text, row.prefix) : text;
}
