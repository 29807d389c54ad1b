/** The form of a job: every change is checked by the server before anything is spent. */
import { Button } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { useNavigate } from "react-router";
import { versionQuery } from "../../api/datasets";
import { createJob, validationQuery } from "../../api/jobs";
import type { Model, ModelFamily, TrainingJob, TrainingJobSpec } from "../../api/types";
import { Panel } from "../../components/Page";
import { kindsOf } from "../../lib/families";
import { enumLabel } from "../../lib/format";
import { problemsOf, specOf, type FormValues, type Problems } from "../../lib/jobForm";
import { lastOf, pages } from "../../lib/names";
import { snake } from "../../lib/trees";
import { useProject } from "../../session/project";
import { AugmentationPreview } from "./AugmentationPreview";
import { choiceOf, familyOf, versionChoice, type Choice } from "./choices";
import { EstimateView } from "./EstimateView";
import { ExamplesPreview } from "./ExamplesPreview";
import { JobCode } from "./JobCode";
import { JobFields } from "./JobFields";
import css from "./jobs.module.css";
import { Verdict } from "./Verdict";

const CHECK_AFTER_MS = 350;

interface JobFormProps {
  versions: Choice[];
  models: readonly Model[];
  families: readonly ModelFamily[];
  accelerators: Choice[];
  /** Jobs that a job can go on from. */
  earlier: readonly TrainingJob[];
  start: FormValues;
}

export function JobForm({ versions, models, families, accelerators, earlier, start: first }: JobFormProps) {
  const project = useProject();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [values, setValues] = useState(first);
  const version = useQuery({
    ...versionQuery(values.datasetVersion),
    enabled: values.datasetVersion !== "",
    placeholderData: keepPreviousData,
  });
  const bases = models.map((model) => choiceOf(model, families, kindsOf(version.data)));
  const chosen = models.find((_, index) => bases[index]?.value === values.base);
  if (values.base.includes(":") && !chosen) {
    bases.push({ value: values.base, label: lastOf(values.base.replace(/^[a-z]+:/, "")) });
  }
  const data = versions.some(({ value }) => value === values.datasetVersion)
    ? versions
    : [...versions, versionChoice(values.datasetVersion)];
  const [checked] = useDebouncedValue(values, CHECK_AFTER_MS);
  const { spec } = specOf(checked);
  const validation = useQuery({ ...validationQuery(project, spec), placeholderData: keepPreviousData });
  const start = useMutation({
    mutationFn: (accepted: TrainingJobSpec) =>
      createJob(project, { displayName: values.displayName, spec: accepted }),
    onSuccess: async (job) => {
      await queries.invalidateQueries({ queryKey: ["jobs"] });
      await navigate(pages.job(job.name ?? ""));
    },
  });
  const { spec: current, problems: typed } = specOf(values);
  const said = problemsOf(validation.data, start.error ?? validation.error);
  const problems: Problems = new Map([...said, ...typed]);
  const settled = checked === values && !validation.isFetching;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (current) start.mutate(current);
  };
  const change = (next: FormValues) => {
    start.reset();
    setValues(next);
  };
  return (
    <form className={css.form} onSubmit={submit}>
      <div className="stack">
        <Panel>
          <JobFields
            values={values}
            change={change}
            versions={data}
            bases={bases}
            accelerators={accelerators}
            problems={problems}
            validation={validation.data}
            family={familyOf(chosen, families)}
            earlier={earlier}
          />
          <Kept values={values} change={change} />
        </Panel>
        {values.augmentation !== "PRESET_UNSPECIFIED" && values.datasetVersion !== "" && (
          <AugmentationPreview
            version={values.datasetVersion}
            preset={values.augmentation}
            base={values.base.startsWith("preset:") ? values.base.slice("preset:".length) : ""}
          />
        )}
        {problems.size === 0 && validation.data?.estimate && (
          <EstimateView estimate={validation.data.estimate} />
        )}
        {problems.size === 0 && spec && <ExamplesPreview spec={spec} />}
        {current && <JobCode displayName={values.displayName} spec={current} />}
      </div>
      <div className={css.verdict}>
        <Verdict
          problems={problems}
          ready={current !== undefined}
          settled={settled}
          validation={validation.data}
        />
        <Button
          type="submit"
          loading={start.isPending}
          disabled={!current || !settled || problems.size > 0}
          fullWidth
        >
          Start training
        </Button>
      </div>
    </form>
  );
}

/** Says that a copied job asks for more than the form shows, and forgets it when asked. */
function Kept({ values, change }: { values: FormValues; change: (values: FormValues) => void }) {
  const names = Object.keys(values.kept).map((key) => enumLabel(snake(key), ""));
  if (names.length === 0) return null;
  return (
    <p className={css.hint}>
      Taken over from the copied job, beside what is shown: {names.join(", ").toLowerCase()}.{" "}
      <Button size="compact-xs" variant="subtle" onClick={() => change({ ...values, kept: {} })}>
        Leave it out
      </Button>
    </p>
  );
}
