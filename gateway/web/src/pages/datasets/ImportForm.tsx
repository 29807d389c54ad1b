/** What to call the dataset and how strict to be. */
import { Button, NumberInput, SegmentedControl, TextInput } from "@mantine/core";
import { useState, type ReactNode, type SyntheticEvent } from "react";
import type { ImportChoices } from "../../api/datasets";
import type { OnError } from "../../api/types";
import { ID_PATTERN, idFromFilename } from "../../lib/ids";
import css from "./datasets.module.css";

const ON_ERROR: { value: OnError; label: string }[] = [
  { value: "ON_ERROR_FAIL", label: "Stop the import" },
  { value: "ON_ERROR_SKIP", label: "Leave the record out" },
];

interface ImportFormProps {
  /** What a new dataset is named after. */
  filename: string;
  /** Id of an existing dataset that gets a new version; empty to name a new one. */
  dataset: string;
  start: (datasetId: string, choices: ImportChoices) => void;
  cancel: ReactNode;
}

export function ImportForm({ filename, dataset, start, cancel }: ImportFormProps) {
  const [id, setId] = useState(dataset || idFromFilename(filename));
  const [onError, setOnError] = useState<OnError>("ON_ERROR_FAIL");
  const [validationPercent, setValidationPercent] = useState<number | string>(10);
  const valid = ID_PATTERN.test(id);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (valid) start(id, { onError, validationFraction: Number(validationPercent) / 100 });
  };
  return (
    <form className={css.form} onSubmit={submit}>
      <TextInput
        label="Dataset"
        description="An existing one gets a new version; a new name makes a new dataset."
        value={id}
        onChange={(event) => setId(event.currentTarget.value)}
        error={
          !valid &&
          "Lower-case letters, digits and hyphens; a letter first, no hyphen last; at most 63 characters."
        }
        readOnly={dataset !== ""}
      />
      <NumberInput
        label="Validation split"
        description="Share of examples kept for measuring, where the data names no splits."
        value={validationPercent}
        onChange={setValidationPercent}
        min={0}
        max={90}
        suffix=" %"
      />
      <div>
        <label className={css.label} id="on-error">
          When a record has an error
        </label>
        <SegmentedControl
          aria-labelledby="on-error"
          size="sm"
          data={ON_ERROR}
          value={onError}
          onChange={(value) => setOnError(value)}
        />
      </div>
      <div className={css.formActions}>
        <Button type="submit" size="sm" disabled={!valid}>
          Import
        </Button>
        {cancel}
      </div>
    </form>
  );
}
