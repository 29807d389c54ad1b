/** The fields of a job whose values go into its spec as they are: one table for the form, the terminal and copies. */
import type { TrainingJobSpec } from "../api/types";

/** Paths of the single values of a message, as `adaptation.lora.rank`. */
type Leaves<Message, Depth extends unknown[] = []> = Depth["length"] extends 4
  ? never
  : {
      [Key in keyof Message & string]-?: NonNullable<Message[Key]> extends infer Value
        ? Value extends readonly unknown[] | string | number | boolean
          ? Key
          : `${Key}.${Leaves<Value, [...Depth, unknown]>}`
        : never;
    }[keyof Message & string];

/** Every value that a spec may hold. */
export type SpecPath = Leaves<TrainingJobSpec>;

/** Headings of the folded part of the form, in its order; `common` is what is shown at once. */
export const SECTIONS = [
  { key: "optimisation", label: "Optimisation" },
  { key: "parts", label: "Parts of the model" },
  { key: "loading", label: "How examples reach the model" },
  { key: "objective", label: "What is minimised" },
  { key: "evaluation", label: "Evaluation, checkpoints and result" },
  { key: "place", label: "Where it runs" },
  { key: "going", label: "Going on" },
] as const;

export type Section = (typeof SECTIONS)[number]["key"] | "common" | "own";

interface Row {
  path: SpecPath;
  /** `own`: the form draws it by itself. */
  section: Section;
  label: string;
  hint: string;
  /** An option of `visiontune train`; what has none goes along in a job file. */
  option?: Option;
  /** Has a meaning only beside this. */
  needs?: Need;
}

/** The option's name, or the whole word for a value as the API has it. */
type Option = string | ((value: unknown) => string);

export type Need = "lora" | "qlora" | "model" | "accelerator" | "preference";

interface ValueRow extends Row {
  /** `long`: 64 bits, which travel as text. `list`: words with commas between them. `hours`: a duration. */
  kind: "number" | "long" | "text" | "list" | "hours" | "switch";
}

interface ChoiceRow extends Row {
  kind: "choice";
  /** What the names of all values begin with. */
  prefix: string;
  values: readonly string[];
}

export type FieldRow = ValueRow | ChoiceRow;

type More = Partial<Pick<Row, "option" | "needs">>;

/** Makes rows of a kind. */
const of =
  (kind: ValueRow["kind"]) =>
  (section: Section, path: SpecPath, label: string, hint = "", more: More = {}): ValueRow => ({
    kind,
    section,
    path,
    label,
    hint,
    ...more,
  });
const [number, long, text, list, hours] = [of("number"), of("long"), of("text"), of("list"), of("hours")];
const toggle = (section: Section, path: SpecPath, label: string, more: More) =>
  of("switch")(section, path, label, "", more);

/** A row whose values are `prefix` and one of these names. */
function choice(
  section: Section,
  path: SpecPath,
  label: string,
  hint: string,
  [prefix = "", ...names]: readonly string[],
  more: More = {},
): ChoiceRow {
  const values = names.map((name) => prefix + name);
  return { kind: "choice", section, path, label, hint, prefix, values, ...more };
}

const PARTS = ["PART_", "TRAIN", "FREEZE", "FULL", "LORA"];
const OWN_RATE = "Where it differs from the job's";

export const FIELDS: readonly FieldRow[] = [
  choice("own", "adaptation.method", "What changes", "", ["METHOD_", "LORA", "QLORA", "FULL"], {
    option: "--method",
  }),
  text("own", "resources.accelerator", "Accelerator", "A GPU"),
  number("own", "resources.acceleratorCount", "How many", "On each node", { needs: "accelerator" }),

  number("common", "hyperparameters.epochs", "Epochs", "Passes over the training split", {
    option: "--epochs",
  }),
  number("common", "hyperparameters.learningRate", "Learning rate", "Highest, after warm-up", {
    option: "--learning-rate",
  }),
  number("common", "hyperparameters.batchSize", "Batch size", "Examples a forward pass", {
    option: "--batch-size",
  }),
  number("common", "adaptation.lora.rank", "LoRA rank", "Width of the adapters", {
    option: "--rank",
    needs: "lora",
  }),
  number("common", "adaptation.lora.alpha", "LoRA alpha", "Scale is alpha / rank", { needs: "lora" }),

  long("optimisation", "hyperparameters.maxSteps", "Most steps", "Stops there, whatever the epochs", {
    option: "--max-steps",
  }),
  number(
    "optimisation",
    "hyperparameters.gradientAccumulationSteps",
    "Gradient accumulation",
    "Passes a step",
  ),
  number("optimisation", "hyperparameters.warmupRatio", "Warm-up share", "0 to below 1"),
  number("optimisation", "hyperparameters.weightDecay", "Weight decay", "Not on biases and norms"),
  number("optimisation", "hyperparameters.maxGradNorm", "Gradient clip", "Global L2 norm"),
  number("optimisation", "hyperparameters.maxLength", "Longest example", "Tokens, images included"),
  long("optimisation", "hyperparameters.seed", "Seed", "Weights, order, dropout", { option: "--seed" }),
  choice("optimisation", "hyperparameters.schedule", "Schedule", "Of the rate after warm-up", [
    "SCHEDULE_",
    "LINEAR",
    "COSINE",
    "CONSTANT",
  ]),
  choice(
    "optimisation",
    "hyperparameters.optimiser",
    "Optimiser",
    "8 bits need an accelerator",
    ["OPTIMISER_", "ADAMW", "ADAMW_8BIT", "ADAFACTOR"],
    { option: "--optimiser" },
  ),
  choice(
    "optimisation",
    "hyperparameters.precision",
    "Precision",
    "Of the passes",
    ["PRECISION_", "FP32", "BF16", "FP16"],
    { option: "--precision" },
  ),
  toggle(
    "optimisation",
    "hyperparameters.gradientCheckpointing",
    "Compute activations twice: less memory, more time",
    { option: (value) => (value === true ? "--gradient-checkpointing" : "--no-gradient-checkpointing") },
  ),

  choice("parts", "adaptation.visionTower", "Vision tower", "", PARTS, { option: "--vision-tower" }),
  choice("parts", "adaptation.projector", "Projector", "", PARTS, { option: "--projector" }),
  choice("parts", "adaptation.languageModel", "Language model", "", PARTS, { option: "--language-model" }),
  number("parts", "hyperparameters.learningRates.visionTower", "Vision tower rate", OWN_RATE),
  number("parts", "hyperparameters.learningRates.projector", "Projector rate", OWN_RATE),
  number("parts", "hyperparameters.learningRates.languageModel", "Language model rate", OWN_RATE),
  choice(
    "parts",
    "adaptation.quantisation",
    "Quantisation",
    "Of the frozen weights",
    ["QUANTISATION_", "NF4", "INT8"],
    { needs: "qlora" },
  ),
  number("parts", "adaptation.lora.dropout", "LoRA dropout", "0 to below 1", { needs: "lora" }),
  text(
    "parts",
    "adaptation.lora.targetModules",
    "Layers with adapters",
    "all-linear, or a regular expression",
    {
      needs: "lora",
    },
  ),
  toggle("parts", "adaptation.lora.useRslora", "rsLoRA: scale by the root of the rank", { needs: "lora" }),
  toggle("parts", "adaptation.lora.useDora", "DoRA: learn the length of weights apart from their direction", {
    needs: "lora",
  }),
  toggle(
    "parts",
    "adaptation.lora.trainEmbeddings",
    "Train embeddings and output head whole, beside the adapters",
    { needs: "lora" },
  ),
  toggle(
    "parts",
    "adaptation.continueAdapter",
    "Train the adapter of the base model further, instead of a new one on top",
    { needs: "model", option: (value) => (value === true ? "--continue-adapter" : "") },
  ),

  choice(
    "loading",
    "loading.batching",
    "Batches",
    "How examples lie side by side",
    ["BATCHING_", "PADDED", "LENGTH_GROUPED", "PACKED"],
    { option: (value) => `--batching ${bare(value, "BATCHING_").replaceAll("_", "-")}` },
  ),
  choice("loading", "loading.featureCache", "Features of the tower", "Auto: kept when frozen", [
    "FEATURE_CACHE_",
    "AUTO",
    "OFF",
  ]),
  choice(
    "loading",
    "loading.onBadExample",
    "An unusable example",
    "Fail, or name it and go on",
    ["ON_BAD_EXAMPLE_", "FAIL", "SKIP"],
    { option: "--on-bad-example" },
  ),

  choice("objective", "objective", "Objective", "Preference: for pairs of answers", [
    "OBJECTIVE_",
    "CAUSAL_LM",
    "PREFERENCE",
  ]),
  number("objective", "preference.beta", "Beta of preferences", "Lower: the model moves more", {
    needs: "preference",
  }),
  number("objective", "preference.labelSmoothing", "Label smoothing", "Share of wrong pairs", {
    needs: "preference",
  }),
  list("objective", "hyperparameters.losses", "Losses", "FLAVA: global, mmm, itm …"),

  long("evaluation", "evaluation.everySteps", "Evaluate every … steps", "Once an epoch when empty"),
  long("evaluation", "evaluation.maxExamples", "Most held-out examples", "All when empty"),
  list("evaluation", "evaluation.metrics", "Measures", "Names, with commas"),
  text("evaluation", "evaluation.bestMetric", "Judged by", "A measure; loss when empty"),
  number(
    "evaluation",
    "evaluation.earlyStopping.patience",
    "Stop early after",
    "Evaluations without progress",
  ),
  number("evaluation", "evaluation.earlyStopping.minDelta", "Least progress", "Better by more than this"),
  number("evaluation", "evaluation.maxNewTokens", "Tokens of an answer", "At most, when it is generated"),
  number("evaluation", "evaluation.sampleCount", "Samples", "Examples with kept answers"),
  long("evaluation", "checkpointing.everySteps", "Save every … steps", "Once an epoch when empty"),
  number("evaluation", "checkpointing.keep", "Checkpoints kept", "Older ones are deleted"),

  choice("evaluation", "publish.state", "Result", "Best: of the best evaluation", ["STATE_", "LAST", "BEST"]),
  toggle("evaluation", "publish.merged", "Publish the whole model too, with the adapter in it", {
    needs: "lora",
  }),

  number("place", "resources.nodes", "Nodes", "Machines that train together", { option: "--nodes" }),
  choice("place", "resources.sharding", "Sharding", "Full: weights are divided (FSDP)", [
    "SHARDING_",
    "NONE",
    "FULL",
  ]),
  choice(
    "place",
    "resources.spot",
    "Spot machines",
    "Cheaper; can be taken away",
    ["SPOT_", "NEVER", "ONLY"],
    {
      option: (value) => (value === "SPOT_ONLY" ? "--spot" : "--no-spot"),
    },
  ),
  text("place", "resources.queue", "Queue", "From the operator's list", { option: "--queue" }),
  text("place", "resources.priority", "Priority", "From the operator's list", { option: "--priority" }),
  number("place", "resources.maxAttempts", "Most attempts", "Of lost workers, in all"),
  hours("place", "resources.maxDuration", "Longest time", "Hours of all attempts together"),

  text("going", "resumeFrom.checkpoint", "Go on from a job", ""),
];

/** `full` of `METHOD_FULL`: a value as a terminal and a file have it. */
export function bare(value: unknown, prefix: string): string {
  return String(value).replace(prefix, "").toLowerCase();
}

/** Segments of a path. */
export function segments({ path }: Pick<FieldRow, "path">): string[] {
  return path.split(".");
}

/** What was typed, as the API takes it; `undefined` when it is no number where one belongs. */
export function toValue({ kind }: Pick<FieldRow, "kind">, text: string): unknown {
  const number = Number(text.replace(",", "."));
  const numeric = Number.isNaN(number) ? undefined : number;
  switch (kind) {
    case "number":
      return numeric;
    case "long":
      return numeric === undefined ? undefined : text;
    case "hours":
      return numeric === undefined ? undefined : `${Math.round(numeric * 3600)}s`;
    case "switch":
      return text === "true";
    case "list":
      return text.split(/[\s,]+/).filter(Boolean);
    default:
      return text;
  }
}

/** A value of the API as it is typed; empty when it is none. */
export function toText({ kind }: Pick<FieldRow, "kind">, value: unknown): string {
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "string") return kind === "hours" ? String(Number.parseFloat(value) / 3600) : value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}
