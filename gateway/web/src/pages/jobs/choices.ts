/** Base models and accelerators as what a form lets choose from. */
import type { Accelerator, Model, ModelFamily } from "../../api/types";
import { whyNot } from "../../lib/families";
import { count, int, measure } from "../../lib/format";
import { idOf, lastOf } from "../../lib/names";

export interface Choice {
  value: string;
  label: string;
  hint?: string;
  /** Why it cannot be chosen with the rest of the form. */
  refused?: string;
}

export function versionChoice(version: string): Choice {
  return { value: version, label: `${idOf(version, "datasets")} ${lastOf(version)}` };
}

/** The first base model that can be trained on the data. */
export function firstFit(
  models: readonly Model[],
  families: readonly ModelFamily[],
  kinds: string[],
): string {
  const choices = models.map((model) => choiceOf(model, families, kinds));
  return choices.find((choice) => !choice.refused)?.value ?? "hub";
}

export function choiceOf(model: Model, families: readonly ModelFamily[], kinds: readonly string[]): Choice {
  const name = model.name ?? "";
  const preset = idOf(name, "presets");
  const id = preset || lastOf(name);
  return {
    value: preset ? `preset:${preset}` : `model:${name}`,
    label: model.displayName && model.displayName !== id ? `${id} – ${model.displayName}` : id,
    hint: model.description ?? "",
    refused: whyNot(familyOf(model, families), kinds),
  };
}

export function familyOf(
  model: Model | undefined,
  families: readonly ModelFamily[],
): ModelFamily | undefined {
  return families.find((each) => each.family === model?.family);
}

export function acceleratorOf(kind: Accelerator): Choice {
  const gib = int(kind.memoryBytes) / 2 ** 30;
  const memory = gib > 0 ? `${measure(gib)} GiB each, ` : "";
  const name = lastOf(kind.name ?? "");
  return { value: name, label: name, hint: `${memory}up to ${count(kind.maxCount)} on a node` };
}
