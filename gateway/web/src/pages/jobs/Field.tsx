/** One field of the table of a job's fields, and rows of them. */
import { Checkbox, Select, TextInput } from "@mantine/core";
import type { Validation } from "../../api/types";
import { enumLabel } from "../../lib/format";
import { FIELDS, type FieldRow, type SpecPath } from "../../lib/jobFields";
import { applies, chosenFor, type FormValues, type Problems } from "../../lib/jobForm";
import css from "./jobs.module.css";

export interface FieldsProps {
  values: FormValues;
  problems: Problems;
  validation: Validation | undefined;
  write: (path: SpecPath, text: string) => void;
}

/** The fields that are wanted and have a meaning with what is chosen. */
export function Rows({ of, ...fields }: FieldsProps & { of: (row: FieldRow) => boolean }) {
  return FIELDS.filter((row) => of(row) && applies(row, fields.values)).map((row) => (
    <Field key={row.path} row={row} {...fields} />
  ));
}

function Field({ row, values, problems, validation, write }: FieldsProps & { row: FieldRow }) {
  const text = values.fields[row.path] ?? "";
  const error = problems.get(row.path);
  const chosen = chosenFor(row, validation);
  if (row.kind === "switch") {
    return (
      <Checkbox
        className={css.switch}
        label={row.label}
        checked={text === "true"}
        onChange={(event) => write(row.path, event.currentTarget.checked ? "true" : "")}
        error={error}
      />
    );
  }
  if (row.kind === "choice") {
    return (
      <Select
        label={row.label}
        description={row.hint}
        placeholder={chosen || "automatic"}
        data={row.values.map((value) => ({ value, label: enumLabel(value, row.prefix) }))}
        value={text || null}
        onChange={(value) => write(row.path, value ?? "")}
        error={error}
        clearable
      />
    );
  }
  return (
    <TextInput
      label={row.label}
      description={row.hint}
      inputMode={row.kind === "text" || row.kind === "list" ? "text" : "decimal"}
      placeholder={chosen || "automatic"}
      value={text}
      onChange={(event) => write(row.path, event.currentTarget.value)}
      error={error}
    />
  );
}
