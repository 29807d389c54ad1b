/** What to call the dataset and how strict to be. */
import { Button, NativeSelect, NumberInput, SegmentedControl, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode, type SyntheticEvent } from "react";
import { formatsQuery, type ImportChoices } from "../../api/datasets";
import type { OnError } from "../../api/types";
import { ID_PATTERN, idFromFilename } from "../../lib/ids";
import { ImportBase, type Base } from "./ImportBase";
import { ImportImages, type ImageChoices } from "./ImportImages";
import css from "./datasets.module.css";

const ON_ERROR: { value: OnError; label: string }[] = [
  { value: "ON_ERROR_FAIL", label: "Stop the import" },
  { value: "ON_ERROR_SKIP", label: "Leave the record out" },
];

interface ImportFormProps {
  project: string;
  /** What a new dataset is named after. */
  filename: string;
  /** Id of an existing dataset that gets a new version; empty to name a new one. */
  dataset: string;
  start: (datasetId: string, choices: ImportChoices) => void;
  cancel: ReactNode;
}

export function ImportForm({ project, filename, dataset, start, cancel }: ImportFormProps) {
  const [id, setId] = useState(dataset || idFromFilename(filename));
  const formats = useQuery(formatsQuery);
  const [format, setFormat] = useState("auto");
  const [onError, setOnError] = useState<OnError>("ON_ERROR_FAIL");
  const [validationPercent, setValidationPercent] = useState<number | string>(10);
  const [base, setBase] = useState<Base>({});
  const [images, setImages] = useState<ImageChoices>({});
  const valid = ID_PATTERN.test(id);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!valid) return;
    start(id, { format, onError, validationFraction: Number(validationPercent) / 100, ...images, ...base });
  };
  return (
    <form className={css.form} onSubmit={submit}>
      <TextInput
        label="Dataset"
        description="An existing one gets a new version; a new name makes a new dataset."
        value={id}
        onChange={(event) => {
          setId(event.currentTarget.value);
          setBase({});
        }}
        error={
          !valid &&
          "Lower-case letters, digits and hyphens; a letter first, no hyphen last; at most 63 characters."
        }
        readOnly={dataset !== ""}
      />
      <ImportBase project={project} dataset={id} known={dataset !== ""} base={base} choose={setBase} />
      <NativeSelect
        label="Format"
        description="Detected by the first records, unless you name it."
        value={format}
        onChange={(event) => setFormat(event.currentTarget.value)}
        data={[
          { value: "auto", label: "Detect it" },
          ...(formats.data ?? []).filter((row) => !row.unavailableReason).map((row) => row.format ?? ""),
        ]}
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
      <ImportImages chosen={images} choose={setImages} />
      <div className={css.formActions}>
        <Button type="submit" size="sm" disabled={!valid}>
          Import
        </Button>
        {cancel}
      </div>
    </form>
  );
}
