/** What differs between the specs of several jobs. Pure. */
import type { TrainingJobSpec } from "../api/types";
import { isTree, snake } from "./trees";

/** Jobs at once: each has a colour of its own. */
export const MOST_COMPARED = 6;

export interface Difference {
  /** Path of the field, for example `hyperparameters.learning_rate`. */
  field: string;
  /** One a spec, in their order; `undefined` where it has none. */
  values: (string | undefined)[];
}

/** Fields that are not the same in all, in order of their names. */
export function differences(specs: readonly TrainingJobSpec[]): Difference[] {
  const flat = specs.map((spec) => new Map(leaves(spec)));
  const fields = [...new Set(flat.flatMap((each) => [...each.keys()]))].sort();
  return fields
    .map((field) => ({ field, values: flat.map((each) => each.get(field)) }))
    .filter(({ values }) => new Set(values).size > 1);
}

function leaves(value: unknown, path = ""): [string, string][] {
  if (!isTree(value)) return [[path, typeof value === "string" ? value : JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, each]) =>
    leaves(each, path ? `${path}.${snake(key)}` : snake(key)),
  );
}
