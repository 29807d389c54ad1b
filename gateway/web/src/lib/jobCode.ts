/** The job of the form as what a terminal and a program take: ready to paste. Pure. */
import type { BaseModel, TrainingJobSpec } from "../api/types";
import { idOf, lastOf } from "./names";
import { isTree, pruned, snake, take, type Tree } from "./trees";

interface Drafted {
  displayName: string;
  spec: TrainingJobSpec;
}

/** Options of `visiontune train` by the field of the spec that they fill. */
const OPTIONS: Readonly<Record<string, (value: never) => string | undefined>> = {
  "hyperparameters.epochs": (value: number) => `--epochs ${value}`,
  "hyperparameters.maxSteps": (value: string) => `--max-steps ${value}`,
  "hyperparameters.batchSize": (value: number) => `--batch-size ${value}`,
  "hyperparameters.learningRate": (value: number) => `--learning-rate ${value}`,
  "hyperparameters.seed": (value: string) => `--seed ${value}`,
  "hyperparameters.precision": (value: string) => `--precision ${short(value, "PRECISION_")}`,
  "hyperparameters.optimiser": (value: string) => `--optimiser ${short(value, "OPTIMISER_")}`,
  "hyperparameters.gradientCheckpointing": (value: boolean) =>
    value ? "--gradient-checkpointing" : "--no-gradient-checkpointing",
  "adaptation.method": (value: string) => `--method ${short(value, "METHOD_")}`,
  "adaptation.lora.rank": (value: number) => `--rank ${value}`,
  "adaptation.visionTower": (value: string) => `--vision-tower ${short(value, "PART_")}`,
  "adaptation.projector": (value: string) => `--projector ${short(value, "PART_")}`,
  "adaptation.languageModel": (value: string) => `--language-model ${short(value, "PART_")}`,
  "resources.spot": (value: string) => (value === "SPOT_ONLY" ? "--spot" : "--no-spot"),
  "resources.queue": (value: string) => `--queue ${quoted(value)}`,
  "resources.priority": (value: string) => `--priority ${quoted(value)}`,
  "resources.nodes": (value: number) => `--nodes ${value}`,
};

/** Whole numbers that travel as text, and that a job file wants as numbers. */
const LONGS = new Set(["maxSteps", "seed", "everySteps", "maxExamples", "step", "dataStartStep"]);

/** A line for a shell. What has no option of its own goes along as a job file on the standard input. */
export function commandOf({ displayName, spec }: Drafted): string {
  const { datasetVersion, baseModel, augmentation, ...others } = spec;
  const rest: Tree = structuredClone(others);
  const words = [`--dataset ${quoted(`${idOf(datasetVersion, "datasets")}/${lastOf(datasetVersion)}`)}`];
  const model = modelWord(baseModel);
  if (model === undefined) rest["baseModel"] = baseModel;
  else words.push(`--model ${quoted(model)}`);
  for (const [path, write] of Object.entries(OPTIONS)) {
    const value = take(rest, path.split("."));
    const word = value === undefined ? undefined : (write as (value: unknown) => string)(value);
    if (word !== undefined) words.push(word);
  }
  const accelerator = take(rest, ["resources", "accelerator"]);
  const accelerators = take(rest, ["resources", "acceleratorCount"]);
  if (typeof accelerator === "string") {
    words.push(`--accelerator ${quoted(`${accelerator}:${Number(accelerators ?? 1)}`)}`);
  }
  if (augmentation?.preset && Object.keys(augmentation).length === 1) {
    words.push(`--augmentation ${short(augmentation.preset, "PRESET_")}`);
  } else if (augmentation) rest["augmentation"] = augmentation;
  const file = { ...(displayName && { displayName }), spec: pruned(rest) };
  if (!displayName && Object.keys(file.spec).length === 0) return wrapped(words);
  return `${wrapped([...words, "--file /dev/stdin"])} <<'JOB'\n${JSON.stringify(asFile(file), null, 2)}\nJOB`;
}

/** A program that starts the job and prints its name. */
export function pythonOf({ displayName, spec }: Drafted, server: string): string {
  const job = JSON.stringify({ ...(displayName && { displayName }), spec }, null, 4).replaceAll(
    "'",
    "\\u0027",
  );
  return `import os

from google.protobuf import json_format
from visiontune import Client
from visiontune.trainer.v1 import trainer_pb2

JOB = r'''
${job}
'''

with Client(${JSON.stringify(server)}, os.environ["VISIONTUNE_API_KEY"]) as client:
    job = client.create_job(json_format.Parse(JOB, trainer_pb2.TrainingJob()))
    print(job.name)
`;
}

/** What `--model` says for a base model; `undefined` where it cannot say it. */
function modelWord(base: BaseModel): string | undefined {
  if (base.preset) return `presets/${base.preset}`;
  if (base.model) return base.model;
  if (base.path?.startsWith("/")) return base.path;
  if (!base.hub?.repoId?.includes("/")) return undefined;
  return base.hub.revision ? `${base.hub.repoId}@${base.hub.revision}` : base.hub.repoId;
}

/** The same with names and numbers as a job file has them. */
function asFile(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((each) => asFile(each));
  if (typeof value === "string" && LONGS.has(key)) return Number(value);
  if (!isTree(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [snake(name), asFile(each, name)]));
}

function short(value: string, prefix: string): string {
  return value.replace(prefix, "").toLowerCase();
}

/** A word for a shell: as it is where that is safe. */
function quoted(word: string): string {
  return /^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

const WIDTH = 76;

/** `visiontune train` and its options, on lines that are not too long. */
function wrapped(words: readonly string[]): string {
  const lines = ["visiontune train"];
  for (const word of words) {
    const line = lines.at(-1) ?? "";
    if (line.length + word.length < WIDTH) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines.join(" \\\n");
}
