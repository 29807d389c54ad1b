/** Which earlier job a job goes on from. Choosing one takes over what it was asked for. */
import { Select } from "@mantine/core";
import type { TrainingJob } from "../../api/types";
import { goingOnFrom } from "../../lib/jobCopy";
import type { FormValues, Problems } from "../../lib/jobForm";
import { idOf, lastOf } from "../../lib/names";

const PATH = "resumeFrom.checkpoint";

interface GoingOnProps {
  values: FormValues;
  change: (values: FormValues) => void;
  earlier: readonly TrainingJob[];
  problems: Problems;
}

export function GoingOn({ values, change, earlier, problems }: GoingOnProps) {
  const chosen = values.fields[PATH] ?? "";
  const choices = earlier.map(({ name = "", displayName }) => ({
    value: name,
    label: displayName && displayName !== lastOf(name) ? `${displayName} (${lastOf(name)})` : lastOf(name),
  }));
  if (chosen && !choices.some(({ value }) => value === chosen)) {
    choices.unshift({
      value: chosen,
      label: [idOf(chosen, "trainingJobs"), idOf(chosen, "checkpoints")].join(" "),
    });
  }
  const choose = (value: string | null) => {
    const job = earlier.find(({ name }) => name === value);
    if (job) change({ ...goingOnFrom(job, job.name ?? ""), displayName: values.displayName });
    else change({ ...values, fields: { ...values.fields, [PATH]: "" } });
  };
  return (
    <Select
      label="Go on from a job"
      description="With its weights, optimiser and schedule, and with its choices: give more epochs, or other data."
      placeholder="none: begin at step 0"
      data={choices}
      value={chosen || null}
      onChange={choose}
      error={problems.get(PATH)}
      nothingFoundMessage="No job has a checkpoint yet"
      clearable
      searchable
    />
  );
}
