/** The fields of a job. What is left empty, the service chooses; its choice is shown in grey. */
import { Checkbox, SegmentedControl, Select, TextInput } from "@mantine/core";
import type { ModelFamily, Validation } from "../../api/types";
import { enumLabel } from "../../lib/format";
import { CHOICES, NUMBERS, SWITCHES, type NumberField } from "../../lib/jobFields";
import {
  chosenFor,
  hasLora,
  type AugmentationPreset,
  type FormValues,
  type Problems,
} from "../../lib/jobForm";
import css from "./jobs.module.css";

export interface Choice {
  value: string;
  label: string;
  hint?: string;
  /** Why it cannot be chosen with the rest of the form. */
  refused?: string;
}

const ELSEWHERE_BASES: readonly Choice[] = [
  { value: "hub", label: "From the Hugging Face Hub…" },
  { value: "path", label: "A folder on the worker's machine…" },
];

const METHODS: { value: FormValues["method"]; label: string }[] = [
  { value: "METHOD_UNSPECIFIED", label: "Automatic" },
  { value: "METHOD_LORA", label: "LoRA" },
  { value: "METHOD_QLORA", label: "QLoRA" },
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
  /** Of the base model, where it is known. */
  family: ModelFamily | undefined;
}

export function JobFields(props: JobFieldsProps) {
  const { values, change, versions, bases, accelerators, problems, validation, family } = props;
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
        data={[...bases, ...ELSEWHERE_BASES].map((base) => ({ ...base, disabled: Boolean(base.refused) }))}
        renderOption={({ option }) => (
          <span>
            {option.label}
            {reasonOf(option.value, bases)}
          </span>
        )}
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
          data={METHODS.map((method) => ({ ...method, disabled: !offers(family, method.value) }))}
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
        <Choices values={values} set={set} problems={problems} validation={validation} />
        <Switches values={values} set={set} problems={problems} />
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

function reasonOf(value: string, bases: readonly Choice[]) {
  const refused = bases.find((base) => base.value === value)?.refused;
  return refused && <small className={css.refused}>{refused}</small>;
}

/** Whether a family can be adapted so; one that is not known is left to the server. */
function offers(family: ModelFamily | undefined, method: FormValues["method"]): boolean {
  return family?.methods === undefined || method === "METHOD_UNSPECIFIED" || family.methods.includes(method);
}

interface FieldsProps {
  values: FormValues;
  set: (part: Partial<FormValues>) => void;
  problems: Problems;
  validation: Validation | undefined;
}

function Choices({ values, set, problems, validation }: FieldsProps) {
  return (
    <div className={css.where}>
      {CHOICES.map((row) => (
        <Select
          key={row.key}
          label={row.label}
          placeholder={enumLabel(chosenFor(row, validation), row.prefix) || "automatic"}
          data={row.values.map((value) => ({ value, label: enumLabel(value, row.prefix) }))}
          value={values.choices[row.key] || null}
          onChange={(value) => set({ choices: { ...values.choices, [row.key]: value ?? "" } })}
          error={problems.get(row.key)}
          clearable
        />
      ))}
    </div>
  );
}

function Switches({ values, set, problems }: Omit<FieldsProps, "validation">) {
  return SWITCHES.filter((row) => row.group !== "lora" || hasLora(values)).map((row) => (
    <Checkbox
      key={row.key}
      label={row.label}
      checked={values.switches[row.key] ?? false}
      onChange={(event) => set({ switches: { ...values.switches, [row.key]: event.currentTarget.checked } })}
      error={problems.get(row.key)}
    />
  ));
}

function Numbers({ common, values, set, problems, validation }: FieldsProps & { common: boolean }) {
  const rows = NUMBERS.filter((row) => "common" in row === common).filter(
    (row) => row.group !== "lora" || hasLora(values),
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
