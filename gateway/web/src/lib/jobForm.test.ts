import { expect, test } from "vitest";
import { ApiError } from "../api/errors";
import type { TrainingJobSpec } from "../api/types";
import { FIELDS } from "./jobFields";
import {
  chosenFor,
  ELSEWHERE,
  EMPTY_FORM,
  problemsOf,
  specOf,
  type Fields,
  type FormValues,
} from "./jobForm";

const FORM: FormValues = {
  ...EMPTY_FORM,
  datasetVersion: "projects/p/datasets/d/versions/v1",
  base: "preset:tiny-llava",
};

test("what is not typed is not sent", () => {
  expect(specOf(FORM).spec).toEqual({
    datasetVersion: FORM.datasetVersion,
    baseModel: { preset: "tiny-llava" },
  });
});

test("numbers are sent as numbers, and 64-bit ones as text", () => {
  const { spec } = specOf({
    ...FORM,
    fields: {
      "hyperparameters.epochs": "2,5",
      "hyperparameters.learningRate": "1e-3",
      "hyperparameters.seed": "7",
    },
  });
  expect(spec?.hyperparameters).toEqual({ epochs: 2.5, learningRate: 0.001, seed: "7" });
});

test("text where a number belongs is said beside its field and nothing is sent", () => {
  const { spec, problems } = specOf({ ...FORM, fields: { "hyperparameters.learningRate": "fast" } });
  expect(spec).toBeUndefined();
  expect(problems.get("hyperparameters.learningRate")).toBe('"fast" is not a number.');
});

test("settings of LoRA go along only with LoRA", () => {
  const rank = { "adaptation.lora.rank": "8" };
  expect(specOf({ ...FORM, fields: rank }).spec?.adaptation).toBeUndefined();
  expect(
    specOf({ ...FORM, fields: { ...rank, "adaptation.method": "METHOD_LORA" } }).spec?.adaptation,
  ).toEqual({
    method: "METHOD_LORA",
    lora: { rank: 8 },
  });
});

test("an accelerator is asked for by name, and one of it unless more are", () => {
  const asked = (count: string, accelerator = "nvidia-l4") => ({
    ...FORM,
    fields: { "resources.accelerator": accelerator, "resources.acceleratorCount": count },
  });
  expect(specOf(asked("")).spec?.resources).toEqual({ accelerator: "nvidia-l4", acceleratorCount: 1 });
  expect(specOf(asked(" 4 ")).spec?.resources?.acceleratorCount).toBe(4);
  expect(specOf(asked("all")).problems.get("resources.acceleratorCount")).toBe('"all" is not a number.');
  expect(specOf(asked("all", "")).spec?.resources).toBeUndefined();
});

test("each way to name a base model", () => {
  expect(specOf({ ...FORM, base: "model:projects/p/models/m" }).spec?.baseModel).toEqual({
    model: "projects/p/models/m",
  });
  expect(specOf({ ...FORM, base: "hub", hubRepo: "a/b" }).spec?.baseModel).toEqual({
    hub: { repoId: "a/b", revision: "" },
  });
  expect(specOf({ ...FORM, base: "path", path: "/models/x" }).spec?.baseModel).toEqual({ path: "/models/x" });
  expect(specOf({ ...FORM, base: "hub" }).spec).toBeUndefined();
});

test("the server's problems find their fields; the others are not lost", () => {
  const problems = problemsOf(
    {
      problems: [
        {
          field: "training_job.spec.hyperparameters.learning_rate",
          message: "Must be above 0.",
          remedy: "Leave it empty for the default.",
        },
        { field: "training_job.spec.resources.accelerator_count", message: "A node has at most 2." },
        { field: "training_job.spec.preference", message: "For pairs only." },
        { field: "training_job.spec.hyperparameters.losses[1]", message: "No such loss." },
        { field: "training_job.spec.unheard_of", message: "No such field." },
      ],
    },
    null,
  );
  expect(problems.get("hyperparameters.learningRate")).toBe(
    "Must be above 0. Leave it empty for the default.",
  );
  expect(problems.get("resources.acceleratorCount")).toBe("A node has at most 2.");
  expect(problems.get("preference.beta")).toBe("For pairs only.");
  expect(problems.get("hyperparameters.losses")).toBe("No such loss.");
  expect(problems.get(ELSEWHERE)).toBe("training_job.spec.unheard_of: No such field.");
});

test("a refused request counts as problems too", () => {
  const refused = new ApiError("Bad request.", 3, "", [
    { field: "training_job.spec.hyperparameters.epochs", description: "must be above 0" },
  ]);
  expect(problemsOf(undefined, refused).get("hyperparameters.epochs")).toBe("must be above 0");
  expect(problemsOf(undefined, new ApiError("Not now.", 14)).get(ELSEWHERE)).toBe("Not now.");
});

test("what the service chose is shown where nothing was typed", () => {
  const resolvedSpec: TrainingJobSpec = {
    datasetVersion: "",
    baseModel: {},
    hyperparameters: { epochs: 3, maxSteps: "100", schedule: "SCHEDULE_COSINE" },
    resources: { maxDuration: "5400s" },
  };
  expect(FIELDS.map((row) => chosenFor(row, { resolvedSpec })).filter(Boolean)).toEqual([
    "3",
    "100",
    "Cosine",
    "1.5",
  ]);
});

test("where a job waits and on what it runs go along only when they are chosen", () => {
  const form: FormValues = {
    ...FORM,
    fields: { "resources.spot": "SPOT_ONLY", "resources.queue": " research ", "resources.priority": "high" },
  };
  expect(specOf(form).spec?.resources).toEqual({ spot: "SPOT_ONLY", queue: "research", priority: "high" });
  expect(specOf(FORM).spec).not.toHaveProperty("resources");
});

test("a policy of augmentation goes along by its name", () => {
  expect(specOf({ ...FORM, augmentation: "PRESET_LIGHT" }).spec?.augmentation).toEqual({
    preset: "PRESET_LIGHT",
  });
  expect(specOf(FORM).spec).not.toHaveProperty("augmentation");
});

test("parts, formats and switches go along; those of LoRA only with it", () => {
  const fields: Fields = {
    "adaptation.visionTower": "PART_FREEZE",
    "hyperparameters.precision": "PRECISION_BF16",
    "adaptation.lora.useDora": "true",
    "adaptation.quantisation": "QUANTISATION_INT8",
    "hyperparameters.gradientCheckpointing": "true",
  };
  expect(specOf({ ...FORM, fields }).spec).toMatchObject({
    adaptation: { visionTower: "PART_FREEZE" },
    hyperparameters: { precision: "PRECISION_BF16", gradientCheckpointing: true },
  });
  expect(specOf({ ...FORM, fields }).spec?.adaptation).not.toHaveProperty("lora");
  const quantised: FormValues = { ...FORM, fields: { ...fields, "adaptation.method": "METHOD_QLORA" } };
  expect(specOf(quantised).spec?.adaptation).toEqual({
    method: "METHOD_QLORA",
    visionTower: "PART_FREEZE",
    quantisation: "QUANTISATION_INT8",
    lora: { useDora: true },
  });
});

test("what an adapter and preferences need goes along only beside them", () => {
  const fields: Fields = { "adaptation.continueAdapter": "true", "preference.beta": "0.2" };
  const { spec } = specOf({ ...FORM, fields });
  expect(spec).not.toHaveProperty("adaptation");
  expect(spec?.preference).toEqual({ beta: 0.2 });
  const answers: FormValues = { ...FORM, fields: { ...fields, objective: "OBJECTIVE_CAUSAL_LM" } };
  expect(specOf({ ...answers, base: "model:projects/p/models/m" }).spec).toEqual({
    datasetVersion: FORM.datasetVersion,
    baseModel: { model: "projects/p/models/m" },
    adaptation: { continueAdapter: true },
    objective: "OBJECTIVE_CAUSAL_LM",
  });
});
