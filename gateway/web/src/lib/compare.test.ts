import { expect, test } from "vitest";
import { differences } from "./compare";

const SPEC = {
  datasetVersion: "projects/p/datasets/d/versions/v1",
  baseModel: { preset: "tiny-llava" },
  hyperparameters: { epochs: 1, seed: "7" },
};

test("the same specs do not differ", () => {
  expect(differences([SPEC, structuredClone(SPEC)])).toEqual([]);
});

test("what differs is named as in a job file, and what is absent is so", () => {
  const other = { ...SPEC, hyperparameters: { epochs: 2, seed: "7", learningRate: 0.01 } };
  expect(differences([SPEC, other])).toEqual([
    { field: "hyperparameters.epochs", values: ["1", "2"] },
    { field: "hyperparameters.learning_rate", values: [undefined, "0.01"] },
  ]);
});
