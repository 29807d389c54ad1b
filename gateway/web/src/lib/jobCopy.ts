/** From a job back to the form: the same job again, to be changed. Pure. */
import type { BaseModel, TrainingJobSpec } from "../api/types";
import { EMPTY_FORM, type FormValues } from "./jobForm";
import { CHOICES, GROUPS, NUMBERS, SWITCHES } from "./jobFields";
import { pruned, take, type Tree } from "./trees";

/** The form that asks for `spec`; what it has no field for is kept and sent along. */
export function formOf(spec: TrainingJobSpec): FormValues {
  const { datasetVersion, baseModel, ...others } = spec;
  const rest: Tree = structuredClone(others);
  const text = (...path: string[]) => {
    const value = take(rest, path);
    return typeof value === "string" || typeof value === "number" ? String(value) : "";
  };
  const numbers = NUMBERS.map(({ key, group }) => [key, text(...GROUPS[group], key)] as const);
  const choices = CHOICES.map(({ key, group }) => [key, text(...GROUPS[group], key)] as const);
  const switches = SWITCHES.map(
    ({ key, group }) => [key, take(rest, [...GROUPS[group], key]) === true] as const,
  );
  const preset = spec.augmentation?.preset;
  const named =
    preset === "PRESET_LIGHT" || preset === "PRESET_STANDARD" || preset === "PRESET_STRONG"
      ? preset
      : undefined;
  const breaking = named !== undefined && take(rest, ["augmentation", "allowTextBreaking"]) === true;
  if (named) take(rest, ["augmentation", "preset"]);
  const spot = spec.resources?.spot === "SPOT_ONLY";
  if (spot) take(rest, ["resources", "spot"]);
  const accelerator = text("resources", "accelerator");
  return {
    ...EMPTY_FORM,
    ...baseFields(baseModel),
    datasetVersion,
    method: (text("adaptation", "method") || EMPTY_FORM.method) as FormValues["method"],
    accelerator,
    acceleratorCount: accelerator && text("resources", "acceleratorCount"),
    spot,
    queue: text("resources", "queue"),
    priority: text("resources", "priority"),
    augmentation: named ?? EMPTY_FORM.augmentation,
    allowTextBreaking: breaking,
    numbers: Object.fromEntries(numbers.filter(([, value]) => value !== "")),
    choices: Object.fromEntries(choices.filter(([, value]) => value !== "")),
    switches: Object.fromEntries(switches.filter(([, on]) => on)),
    kept: pruned(rest),
  };
}

function baseFields(base: BaseModel): Partial<FormValues> {
  if (base.preset) return { base: `preset:${base.preset}` };
  if (base.model) return { base: `model:${base.model}` };
  if (base.hub) return { base: "hub", hubRepo: base.hub.repoId ?? "", hubRevision: base.hub.revision ?? "" };
  return { base: "path", path: base.path ?? "" };
}
