/** From a job back to the form: the same job again, to be changed. Pure. */
import type { BaseModel, TrainingJob, TrainingJobSpec } from "../api/types";
import { EMPTY_FORM, type Fields, type FormValues } from "./jobForm";
import { FIELDS, segments, toText } from "./jobFields";
import { pruned, take, type Tree } from "./trees";

/** The form that asks for `spec`; what it has no field for is kept and sent along. */
export function formOf(spec: TrainingJobSpec): FormValues {
  const { datasetVersion, baseModel, ...others } = spec;
  const rest: Tree = structuredClone(others);
  const fields: Fields = {};
  for (const row of FIELDS) {
    const text = toText(row, take(rest, segments(row)));
    if (text !== "") fields[row.path] = text;
  }
  // The rest of it is what the service found there.
  take(rest, ["resumeFrom"]);
  const preset = spec.augmentation?.preset;
  const named =
    preset === "PRESET_LIGHT" || preset === "PRESET_STANDARD" || preset === "PRESET_STRONG"
      ? preset
      : undefined;
  const breaking = named !== undefined && take(rest, ["augmentation", "allowTextBreaking"]) === true;
  if (named) take(rest, ["augmentation", "preset"]);
  return {
    ...EMPTY_FORM,
    ...baseFields(baseModel),
    datasetVersion,
    augmentation: named ?? EMPTY_FORM.augmentation,
    allowTextBreaking: breaking,
    fields,
    kept: pruned(rest),
  };
}

/** The form of a job that goes on from an earlier one, with its choices. */
export function goingOnFrom(job: TrainingJob, checkpoint: string): FormValues {
  const form = formOf(job.resolvedSpec ?? job.spec);
  return { ...form, fields: { ...form.fields, "resumeFrom.checkpoint": checkpoint } };
}

function baseFields(base: BaseModel): Partial<FormValues> {
  if (base.preset) return { base: `preset:${base.preset}` };
  if (base.model) return { base: `model:${base.model}` };
  if (base.hub) return { base: "hub", hubRepo: base.hub.repoId ?? "", hubRevision: base.hub.revision ?? "" };
  return { base: "path", path: base.path ?? "" };
}
