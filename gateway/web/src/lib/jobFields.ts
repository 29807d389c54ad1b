/** The fields of the form whose values go into the spec as they are, as tables. */

export type NumberField = (typeof NUMBERS)[number]["key"];

export interface NumberRow {
  key: string;
  group: "hyperparameters" | "lora";
  label: string;
  hint: string;
  /** int64 fields travel as text. */
  long?: boolean;
  /** Shown at once; the others under "More". */
  common?: boolean;
}

export const NUMBERS = [
  {
    key: "epochs",
    group: "hyperparameters",
    label: "Epochs",
    hint: "Passes over the training split",
    common: true,
  },
  {
    key: "learningRate",
    group: "hyperparameters",
    label: "Learning rate",
    hint: "Highest, after warm-up",
    common: true,
  },
  {
    key: "batchSize",
    group: "hyperparameters",
    label: "Batch size",
    hint: "Examples a forward pass",
    common: true,
  },
  { key: "rank", group: "lora", label: "LoRA rank", hint: "Width of the adapters", common: true },
  { key: "alpha", group: "lora", label: "LoRA alpha", hint: "Scale is alpha / rank", common: true },
  {
    key: "maxSteps",
    group: "hyperparameters",
    label: "Most steps",
    hint: "Stops there, whatever the epochs",
    long: true,
  },
  {
    key: "gradientAccumulationSteps",
    group: "hyperparameters",
    label: "Gradient accumulation",
    hint: "Passes a step",
  },
  { key: "warmupRatio", group: "hyperparameters", label: "Warm-up share", hint: "0 to below 1" },
  { key: "weightDecay", group: "hyperparameters", label: "Weight decay", hint: "Not on biases and norms" },
  { key: "maxGradNorm", group: "hyperparameters", label: "Gradient clip", hint: "Global L2 norm" },
  { key: "maxLength", group: "hyperparameters", label: "Longest example", hint: "Tokens, images included" },
  { key: "seed", group: "hyperparameters", label: "Seed", hint: "Weights, order, dropout", long: true },
] as const satisfies readonly NumberRow[];

const PARTS = ["PART_TRAIN", "PART_FREEZE", "PART_FULL", "PART_LORA"];

/** Fields of which one of a few values is chosen; empty means that the service chooses. */
export const CHOICES = [
  { key: "visionTower", group: "adaptation", label: "Vision tower", prefix: "PART_", values: PARTS },
  { key: "projector", group: "adaptation", label: "Projector", prefix: "PART_", values: PARTS },
  { key: "languageModel", group: "adaptation", label: "Language model", prefix: "PART_", values: PARTS },
  {
    key: "precision",
    group: "hyperparameters",
    label: "Precision",
    prefix: "PRECISION_",
    values: ["PRECISION_FP32", "PRECISION_BF16", "PRECISION_FP16"],
  },
  {
    key: "optimiser",
    group: "hyperparameters",
    label: "Optimiser",
    prefix: "OPTIMISER_",
    values: ["OPTIMISER_ADAMW", "OPTIMISER_ADAMW_8BIT", "OPTIMISER_ADAFACTOR"],
  },
  {
    key: "schedule",
    group: "hyperparameters",
    label: "Schedule",
    prefix: "SCHEDULE_",
    values: ["SCHEDULE_LINEAR", "SCHEDULE_COSINE", "SCHEDULE_CONSTANT"],
  },
] as const;

export type ChoiceField = (typeof CHOICES)[number]["key"];

export const SWITCHES = [
  { key: "useRslora", group: "lora", label: "rsLoRA: scale by the root of the rank" },
  { key: "useDora", group: "lora", label: "DoRA: learn the length of weights apart from their direction" },
  {
    key: "gradientCheckpointing",
    group: "hyperparameters",
    label: "Compute activations twice: less memory, more time",
  },
] as const;

export type SwitchField = (typeof SWITCHES)[number]["key"];

/** Where a group of fields is in a spec. */
export const GROUPS = {
  hyperparameters: ["hyperparameters"],
  adaptation: ["adaptation"],
  lora: ["adaptation", "lora"],
} as const;
