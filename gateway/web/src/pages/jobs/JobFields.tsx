/** The fields of a job. What is left empty, the service chooses; its choice is shown in grey. */
import { SegmentedControl, Select, TextInput } from "@mantine/core";
import type { Validation } from "../../api/types";
import { chosenFor, NUMBERS, type FormValues, type NumberField, type Problems } from "../../lib/jobForm";
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
  const text = (key: "displayName" | "hubRepo" | "hubRevision" | "path" | "acceleratorCount") => ({
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
      <details className={css.more}>
        <summary>More settings</summary>
        <Numbers common={false} values={values} set={set} problems={problems} validation={validation} />
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
