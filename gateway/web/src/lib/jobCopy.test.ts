import { expect, test } from "vitest";
import type { TrainingJobSpec } from "../api/types";
import { formOf, goingOnFrom } from "./jobCopy";
import { specOf } from "./jobForm";

const PLAIN: TrainingJobSpec = {
  datasetVersion: "projects/p/datasets/d/versions/v1",
  baseModel: { hub: { repoId: "a/b", revision: "main" } },
  hyperparameters: {
    epochs: 2,
    seed: "7",
    learningRates: { projector: 0.001 },
    losses: ["global", "mmm"],
    gradientCheckpointing: false,
  },
  adaptation: {
    method: "METHOD_LORA",
    visionTower: "PART_FREEZE",
    lora: { rank: 8, dropout: 0.1, useDora: true },
  },
  augmentation: { transforms: [{ name: "ColorJitter", parameters: { brightness: 0.2 } }] },
  evaluation: { everySteps: "10" },
  checkpointing: { everySteps: "5", keep: 3 },
  loading: {
    batching: "BATCHING_PACKED",
    featureCache: "FEATURE_CACHE_OFF",
    onBadExample: "ON_BAD_EXAMPLE_SKIP",
  },
  objective: "OBJECTIVE_PREFERENCE",
  preference: { beta: 0.2 },
  resources: {
    accelerator: "nvidia-l4",
    acceleratorCount: 2,
    spot: "SPOT_ONLY",
    nodes: 2,
    sharding: "SHARDING_FULL",
    maxDuration: "5401s",
  },
};

test("a copied job asks for the same, also for what the form has no field for", () => {
  expect(specOf(formOf(PLAIN)).spec).toEqual(PLAIN);
});

test("what the form has a field for can be changed, the rest stays", () => {
  const form = formOf(PLAIN);
  const changed = specOf({
    ...form,
    fields: { ...form.fields, "hyperparameters.epochs": "9" },
    augmentation: "PRESET_LIGHT",
  });
  expect(changed.spec).toEqual({
    ...PLAIN,
    hyperparameters: { ...PLAIN.hyperparameters, epochs: 9 },
    augmentation: { preset: "PRESET_LIGHT" },
  });
});

test("another method leaves the settings of LoRA behind", () => {
  const form = formOf(PLAIN);
  const changed = specOf({ ...form, fields: { ...form.fields, "adaptation.method": "METHOD_FULL" } });
  expect(changed.spec?.adaptation).toEqual({ method: "METHOD_FULL", visionTower: "PART_FREEZE" });
});

test("a policy by name and each kind of base come back", () => {
  const bases = [{ preset: "tiny-llava" }, { model: "projects/p/models/m" }, { path: "/models/x" }];
  for (const baseModel of bases) {
    const spec: TrainingJobSpec = {
      datasetVersion: PLAIN.datasetVersion,
      baseModel,
      augmentation: { preset: "PRESET_STRONG", allowTextBreaking: true },
    };
    expect(specOf(formOf(spec)).spec).toEqual(spec);
  }
});

test("a job that goes on has what the earlier one came to, and none of what it went on from itself", () => {
  const resolvedSpec: TrainingJobSpec = {
    datasetVersion: PLAIN.datasetVersion,
    baseModel: { preset: "tiny-llava" },
    hyperparameters: { epochs: 2, learningRate: 0.01 },
    resumeFrom: { checkpoint: "projects/p/trainingJobs/first", step: "9", dataStartStep: "0" },
  };
  const checkpoint = "projects/p/trainingJobs/second";
  const form = goingOnFrom({ spec: PLAIN, resolvedSpec }, checkpoint);
  expect(specOf(form).spec).toEqual({ ...resolvedSpec, resumeFrom: { checkpoint } });
});
