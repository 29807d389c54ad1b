import { expect, test } from "vitest";
import { ApiError } from "../api/errors";
import { NUMBERS } from "./jobFields";
import { chosenFor, ELSEWHERE, EMPTY_FORM, problemsOf, specOf, type FormValues } from "./jobForm";

const FORM: FormValues = {
  ...EMPTY_FORM,
  datasetVersion: "projects/p/datasets/d/versions/v1",
  base: "preset:tiny-llava",
};

test("what is not typed is not sent", () => {
  expect(specOf(FORM).spec).toEqual({
    datasetVersion: FORM.datasetVersion,
    baseModel: { preset: "tiny-llava" },
    hyperparameters: {},
  });
});

test("numbers are sent as numbers, and 64-bit ones as text", () => {
  const { spec } = specOf({ ...FORM, numbers: { epochs: "2,5", learningRate: "1e-3", seed: "7" } });
  expect(spec?.hyperparameters).toEqual({ epochs: 2.5, learningRate: 0.001, seed: "7" });
});

test("text where a number belongs is said beside its field and nothing is sent", () => {
  const { spec, problems } = specOf({ ...FORM, numbers: { learningRate: "fast" } });
  expect(spec).toBeUndefined();
  expect(problems.get("learningRate")).toBe('"fast" is not a number.');
});

test("settings of LoRA go along only with LoRA", () => {
  const numbers = { rank: "8" };
  expect(specOf({ ...FORM, numbers }).spec?.adaptation).toBeUndefined();
  expect(specOf({ ...FORM, method: "METHOD_LORA", numbers }).spec?.adaptation).toEqual({
    method: "METHOD_LORA",
    lora: { rank: 8 },
  });
});

test("an accelerator is asked for by name, and one of it unless more are", () => {
  const onL4 = { ...FORM, accelerator: "nvidia-l4" };
  expect(specOf(onL4).spec?.resources).toEqual({ accelerator: "nvidia-l4", acceleratorCount: 1 });
  expect(specOf({ ...onL4, acceleratorCount: " 4 " }).spec?.resources?.acceleratorCount).toBe(4);
  expect(specOf({ ...onL4, acceleratorCount: "all" }).problems.get("acceleratorCount")).toBe(
    '"all" is not a number.',
  );
  expect(specOf({ ...FORM, acceleratorCount: "all" }).spec?.resources).toBeUndefined();
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
        { field: "training_job.spec.resources.nodes", message: "No such nodes." },
      ],
    },
    null,
  );
  expect(problems.get("learningRate")).toBe("Must be above 0. Leave it empty for the default.");
  expect(problems.get("acceleratorCount")).toBe("A node has at most 2.");
  expect(problems.get(ELSEWHERE)).toBe("training_job.spec.resources.nodes: No such nodes.");
});

test("a refused request counts as problems too", () => {
  const refused = new ApiError("Bad request.", 3, "", [
    { field: "training_job.spec.hyperparameters.epochs", description: "must be above 0" },
  ]);
  expect(problemsOf(undefined, refused).get("epochs")).toBe("must be above 0");
  expect(problemsOf(undefined, new ApiError("Not now.", 14)).get(ELSEWHERE)).toBe("Not now.");
});

test("what the service chose is shown where nothing was typed", () => {
  const resolved = {
    resolvedSpec: { datasetVersion: "", baseModel: {}, hyperparameters: { epochs: 3, maxSteps: "100" } },
  };
  expect(NUMBERS.map((row) => chosenFor(row, resolved)).filter(Boolean)).toEqual(["3", "100"]);
});

test("where a job waits and on what it runs go along only when they are chosen", () => {
  const form: FormValues = { ...FORM, spot: true, queue: " research ", priority: "high" };
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
  const form: FormValues = {
    ...FORM,
    choices: { visionTower: "PART_FREEZE", precision: "PRECISION_BF16" },
    switches: { useDora: true, gradientCheckpointing: true },
  };
  expect(specOf(form).spec).toMatchObject({
    adaptation: { visionTower: "PART_FREEZE" },
    hyperparameters: { precision: "PRECISION_BF16", gradientCheckpointing: true },
  });
  expect(specOf(form).spec?.adaptation).not.toHaveProperty("lora");
  expect(specOf({ ...form, method: "METHOD_QLORA" }).spec?.adaptation).toEqual({
    method: "METHOD_QLORA",
    visionTower: "PART_FREEZE",
    lora: { useDora: true },
  });
});
