/** The job of the form as what a terminal and a program take: ready to paste. Pure. */
import type { BaseModel, TrainingJobSpec } from "../api/types";
import { idOf, lastOf } from "./names";
import { bare, FIELDS, segments, toText, type FieldRow } from "./jobFields";
import { at, isTree, pruned, snake, take, type Tree } from "./trees";

interface Drafted {
  displayName: string;
  spec: TrainingJobSpec;
}

/** Whole numbers that travel as text, and that a job file wants as numbers. */
const LONGS = new Set(FIELDS.filter(({ kind }) => kind === "long").flatMap((row) => segments(row).slice(-1)));

/** A line for a shell. What has no option of its own goes along as a job file on the standard input. */
export function commandOf({ displayName, spec }: Drafted): string {
  const { datasetVersion, baseModel, augmentation, ...others } = spec;
  const rest: Tree = structuredClone(others);
  const words = [`--dataset ${quoted(`${idOf(datasetVersion, "datasets")}/${lastOf(datasetVersion)}`)}`];
  const model = modelWord(baseModel);
  if (model === undefined) rest["baseModel"] = baseModel;
  else words.push(`--model ${quoted(model)}`);
  for (const row of FIELDS) {
    const word = wordOf(row, rest);
    if (word) words.push(word);
  }
  const accelerator = take(rest, ["resources", "accelerator"]);
  const accelerators = take(rest, ["resources", "acceleratorCount"]);
  if (typeof accelerator === "string") {
    words.push(`--accelerator ${quoted(`${accelerator}:${Number(accelerators ?? 1)}`)}`);
  }
  if (augmentation?.preset && Object.keys(augmentation).length === 1) {
    words.push(`--augmentation ${bare(augmentation.preset, "PRESET_")}`);
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

/** Takes the field's value out of `rest`, as an option of the command; empty where there is no such option. */
function wordOf(row: FieldRow, rest: Tree): string {
  const value = at(rest, segments(row));
  if (row.option === undefined || value === undefined) return "";
  const word =
    typeof row.option === "function"
      ? row.option(value)
      : `${row.option} ${row.kind === "choice" ? bare(value, row.prefix) : quoted(toText(row, value))}`;
  if (word) take(rest, segments(row));
  return word;
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
