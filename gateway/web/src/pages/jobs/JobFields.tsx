/** The fields of a job. What is left empty, the service chooses; its choice is shown in grey. */
import { Checkbox, SegmentedControl, Select, TextInput } from "@mantine/core";
import type { Validation } from "../../api/types";
import {
  chosenFor,
  NUMBERS,
  type AugmentationPreset,
  type FormValues,
  type NumberField,
  type Problems,
} from "../../lib/jobForm";
import css from "./jobs.module.css";

export interface Choice {
  value: string;
  label: string;
  hint?: string;
}

const ELSEWHERE_BASES: readonly Choice[] = [
  { value: "hub", label: "From the Hugging Face Hub…" },
  { value: "path", label: "A folder on the worker's machine…" },
];

const METHODS: { value: FormValues["method"]; label: string }[] = [
  { value: "METHOD_UNSPECIFIED", label: "Automatic" },
  { value: "METHOD_LORA", label: "LoRA" },
  { value: "METHOD_FULL", label: "All weights" },
];

const POLICIES: { value: AugmentationPreset; label: string }[] = [
  { value: "PRESET_UNSPECIFIED", label: "None" },
  { value: "PRESET_LIGHT", label: "Light" },
  { value: "PRESET_STANDARD", label: "Standard" },
  { value: "PRESET_STRONG", label: "Strong" },
];

interface JobFieldsProps {
  values: FormValues;
  change: (values: FormValues) => void;
  versions: readonly Choice[];
  bases: readonly Choice[];
  accelerators: readonly Choice[];
  problems: Problems;
  validation: Validation | undefined;
}

export function JobFields(props: JobFieldsProps) {
  const { values, change, versions, bases, accelerators, problems, validation } = props;
  const set = (part: Partial<FormValues>) => change({ ...values, ...part });
  const text = (
    key: "displayName" | "hubRepo" | "hubRevision" | "path" | "acceleratorCount" | "queue" | "priority",
  ) => ({
    value: values[key],
    onChange: (event: { currentTarget: { value: string } }) => set({ [key]: event.currentTarget.value }),
    error: problems.get(key),
  });
  const chosen = bases.find((base) => base.value === values.base);
  return (
    <div className={css.fields}>
      <Select
        label="Data"
        data={versions}
        value={values.datasetVersion}
        onChange={(value) => set({ datasetVersion: value ?? "" })}
        error={problems.get("datasetVersion")}
        allowDeselect={false}
        searchable
      />
      <Select
        label="Base model"
        description={chosen?.hint}
        data={[...bases, ...ELSEWHERE_BASES]}
        value={values.base}
        onChange={(value) => set({ base: value ?? "" })}
        error={problems.get("base")}
        allowDeselect={false}
        searchable
      />
      {values.base === "hub" && (
        <div className={css.numbers}>
          <TextInput label="Repository" placeholder="owner/name" {...text("hubRepo")} />
          <TextInput label="Revision" placeholder="main" {...text("hubRevision")} />
        </div>
      )}
      {values.base === "path" && (
        <TextInput
          label="Folder"
          description="Laid out as a Hub snapshot, below a folder that the operator allows."
          placeholder="/models/my-llava"
          {...text("path")}
        />
      )}
      <div>
        <span className={css.label} id="method">
          What changes
        </span>
        <SegmentedControl
          aria-labelledby="method"
          size="sm"
          data={METHODS}
          value={values.method}
          onChange={(value) => set({ method: value })}
        />
        {problems.has("method") && <p className={css.fieldError}>{problems.get("method")}</p>}
      </div>
      {accelerators.length > 0 && (
        <div className={css.numbers}>
          <Select
            label="Accelerator"
            description={accelerators.find((each) => each.value === values.accelerator)?.hint ?? "A GPU"}
            placeholder="none: processors"
            data={accelerators}
            value={values.accelerator || null}
            onChange={(value) => set({ accelerator: value ?? "" })}
            error={problems.get("accelerator")}
            clearable
          />
          <TextInput
            label="How many"
            description="On each node"
            inputMode="numeric"
            placeholder="1"
            disabled={values.accelerator === ""}
            {...text("acceleratorCount")}
          />
        </div>
      )}
      <Numbers common values={values} set={set} problems={problems} validation={validation} />
      <div>
        <span className={css.label} id="augmentation">
          Vary the pictures
        </span>
        <SegmentedControl
          aria-labelledby="augmentation"
          size="sm"
          data={POLICIES}
          value={values.augmentation}
          onChange={(augmentation) => set({ augmentation })}
        />
        {problems.has("augmentation") && <p className={css.fieldError}>{problems.get("augmentation")}</p>}
      </div>
      <details className={css.more}>
        <summary>More settings</summary>
        <Numbers common={false} values={values} set={set} problems={problems} validation={validation} />
        <div className={css.where}>
          <TextInput
            label="Queue"
            description="From the operator's list"
            placeholder="the operator's default"
            {...text("queue")}
          />
          <TextInput
            label="Priority"
            description="From the operator's list"
            placeholder="the cluster's default"
            {...text("priority")}
          />
        </div>
        <Checkbox
          label="On spot machines only"
          description="Cheaper, but they can be taken away: the job then goes on from its newest checkpoint."
          checked={values.spot}
          onChange={(event) => set({ spot: event.currentTarget.checked })}
          error={problems.get("spot")}
        />
        {values.augmentation !== "PRESET_UNSPECIFIED" && (
          <Checkbox
            label="Vary pictures even where their texts may no longer be true"
            checked={values.allowTextBreaking}
            onChange={(event) => set({ allowTextBreaking: event.currentTarget.checked })}
          />
        )}
      </details>
      <TextInput label="Name of the job" placeholder="optional" {...text("displayName")} />
    </div>
  );
}

interface NumbersProps {
  common: boolean;
  values: FormValues;
  set: (part: Partial<FormValues>) => void;
  problems: Problems;
  validation: Validation | undefined;
}

function Numbers({ common, values, set, problems, validation }: NumbersProps) {
  const rows = NUMBERS.filter((row) => "common" in row === common).filter(
    (row) => row.group !== "lora" || values.method === "METHOD_LORA",
  );
  const write = (key: NumberField, text: string) => set({ numbers: { ...values.numbers, [key]: text } });
  return (
    <div className={css.numbers}>
      {rows.map((row) => (
        <TextInput
          key={row.key}
          label={row.label}
          description={row.hint}
          inputMode="decimal"
          placeholder={chosenFor(row, validation) || "automatic"}
          value={values.numbers[row.key] ?? ""}
          onChange={(event) => write(row.key, event.currentTarget.value)}
          error={problems.get(row.key)}
        />
      ))}
    </div>
  );
}
