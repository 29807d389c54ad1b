/** The fields of a job. What is left empty, the service chooses; its choice is shown in grey. */
import { Checkbox, SegmentedControl, Select, TextInput } from "@mantine/core";
import type { ModelFamily, TrainingJob, Validation } from "../../api/types";
import type { AugmentationPreset, FormValues, Problems } from "../../lib/jobForm";
import type { Choice } from "./choices";
import { Advanced } from "./Advanced";
import { GoingOn } from "./GoingOn";
import { Rows, type FieldsProps } from "./Field";
import css from "./jobs.module.css";

const ELSEWHERE_BASES: readonly Choice[] = [
  { value: "hub", label: "From the Hugging Face Hub…" },
  { value: "path", label: "A folder on the worker's machine…" },
];

const METHODS = [
  { value: "", label: "Automatic" },
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
  /** Jobs that a job can go on from. */
  earlier: readonly TrainingJob[];
}

export function JobFields(props: JobFieldsProps) {
  const { values, change, versions, bases, accelerators, problems, validation, family, earlier } = props;
  const set = (part: Partial<FormValues>) => change({ ...values, ...part });
  const fields: FieldsProps = {
    values,
    problems,
    validation,
    write: (path, text) => set({ fields: { ...values.fields, [path]: text } }),
  };
  const text = (key: "displayName" | "hubRepo" | "hubRevision" | "path") => ({
    value: values[key],
    onChange: (event: { currentTarget: { value: string } }) => set({ [key]: event.currentTarget.value }),
    error: problems.get(key),
  });
  const accelerator = values.fields["resources.accelerator"] ?? "";
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
          data={METHODS.map((method) => ({
            ...method,
            disabled: method.value !== "" && !offers(family, method.value),
          }))}
          value={values.fields["adaptation.method"] ?? ""}
          onChange={(value) => fields.write("adaptation.method", value)}
        />
        {problems.has("adaptation.method") && (
          <p className={css.fieldError}>{problems.get("adaptation.method")}</p>
        )}
      </div>
      {accelerators.length > 0 && (
        <div className={css.numbers}>
          <Select
            label="Accelerator"
            description={accelerators.find((each) => each.value === accelerator)?.hint ?? "A GPU"}
            placeholder="none: processors"
            data={accelerators}
            value={accelerator || null}
            onChange={(value) => fields.write("resources.accelerator", value ?? "")}
            error={problems.get("resources.accelerator")}
            clearable
          />
          <Rows of={({ path }) => path === "resources.acceleratorCount"} {...fields} />
        </div>
      )}
      <div className={css.numbers}>
        <Rows of={({ section }) => section === "common"} {...fields} />
      </div>
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
      {values.augmentation !== "PRESET_UNSPECIFIED" && (
        <Checkbox
          label="Vary pictures even where their texts may no longer be true"
          checked={values.allowTextBreaking}
          onChange={(event) => set({ allowTextBreaking: event.currentTarget.checked })}
        />
      )}
      <Advanced {...fields}>
        <GoingOn values={values} change={change} earlier={earlier} problems={problems} />
      </Advanced>
      <TextInput label="Name of the job" placeholder="optional" {...text("displayName")} />
    </div>
  );
}

function reasonOf(value: string, bases: readonly Choice[]) {
  const refused = bases.find((base) => base.value === value)?.refused;
  return refused && <small className={css.refused}>{refused}</small>;
}

/** Whether a family can be adapted so; one that is not known is left to the server. */
function offers(family: ModelFamily | undefined, method: string): boolean {
  return family?.methods?.some((each) => each === method) ?? true;
}
