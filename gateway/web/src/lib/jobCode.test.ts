import { expect, test } from "vitest";
import type { TrainingJobSpec } from "../api/types";
import { commandOf, pythonOf } from "./jobCode";

const SPEC: TrainingJobSpec = {
  datasetVersion: "projects/p/datasets/digits/versions/v2",
  baseModel: { preset: "tiny-llava" },
  hyperparameters: {},
};

test("a plain job is one line", () => {
  expect(commandOf({ displayName: "", spec: SPEC })).toBe(
    "visiontune train --dataset digits/v2 --model presets/tiny-llava",
  );
});

test("what has an option is one, on lines that fit", () => {
  const spec: TrainingJobSpec = {
    ...SPEC,
    baseModel: { hub: { repoId: "owner/name", revision: "v1" } },
    hyperparameters: { epochs: 2.5, maxSteps: "7", precision: "PRECISION_BF16", gradientCheckpointing: true },
    adaptation: { method: "METHOD_LORA", lora: { rank: 8 }, visionTower: "PART_FREEZE" },
    augmentation: { preset: "PRESET_LIGHT" },
    loading: { batching: "BATCHING_LENGTH_GROUPED" },
    resources: { accelerator: "nvidia-l4", acceleratorCount: 2, spot: "SPOT_ONLY", queue: "it's mine" },
  };
  const command = commandOf({ displayName: "", spec });
  expect(command.replaceAll(" \\\n ", "")).toBe(
    "visiontune train --dataset digits/v2 --model owner/name@v1 --method lora --epochs 2.5 --rank 8" +
      " --max-steps 7 --precision bf16 --gradient-checkpointing --vision-tower freeze" +
      " --batching length-grouped --spot --queue 'it'\\''s mine' --accelerator nvidia-l4:2 --augmentation light",
  );
  expect(Math.max(...command.split("\n").map((line) => line.length))).toBeLessThan(80);
});

test("what has none is a job file on the standard input", () => {
  const spec: TrainingJobSpec = {
    ...SPEC,
    baseModel: { hub: { repoId: "gpt2" } },
    hyperparameters: { warmupRatio: 0.1 },
    evaluation: { everySteps: "10" },
    adaptation: { continueAdapter: false },
    resumeFrom: { checkpoint: "projects/p/trainingJobs/j" },
  };
  const [command, file] = commandOf({ displayName: "It's mine", spec }).split(" <<'JOB'\n");
  expect(command).toBe("visiontune train --dataset digits/v2 --file /dev/stdin");
  expect(JSON.parse(file?.replace(/\nJOB$/, "") ?? "")).toEqual({
    display_name: "It's mine",
    spec: {
      base_model: { hub: { repo_id: "gpt2" } },
      hyperparameters: { warmup_ratio: 0.1 },
      evaluation: { every_steps: 10 },
      adaptation: { continue_adapter: false },
      resume_from: { checkpoint: "projects/p/trainingJobs/j" },
    },
  });
});

test("text of a user cannot end the text of the program", () => {
  const text = pythonOf({ displayName: "'''\nimport os", spec: SPEC }, "http://host");
  expect(text.split("'''")).toHaveLength(3);
  expect(text).toContain('with Client("http://host"');
});
