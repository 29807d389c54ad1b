/** Starts a job. Every change is checked by the server before anything is spent. */
import { Button } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import {
  keepPreviousData,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { datasetsQuery, versionQuery } from "../../api/datasets";
import {
  acceleratorsQuery,
  createJob,
  familiesQuery,
  jobQuery,
  modelsQuery,
  validationQuery,
} from "../../api/jobs";
import type { Accelerator, Model, ModelFamily, TrainingJobSpec, Validation } from "../../api/types";
import { Facts, Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { kindsOf, whyNot } from "../../lib/families";
import { count, enumLabel, int, measure } from "../../lib/format";
import { formOf } from "../../lib/jobCopy";
import { ELSEWHERE, EMPTY_FORM, problemsOf, specOf, type FormValues, type Problems } from "../../lib/jobForm";
import { idOf, lastOf, pages } from "../../lib/names";
import { snake } from "../../lib/trees";
import { useProject } from "../../session/project";
import { AugmentationPreview } from "./AugmentationPreview";
import { EstimateView } from "./EstimateView";
import { JobCode } from "./JobCode";
import { JobFields, type Choice } from "./JobFields";
import css from "./jobs.module.css";

const CHECK_AFTER_MS = 350;

export function Component() {
  const project = useProject();
  const [params] = useSearchParams();
  const copied = params.get("from") ?? "";
  const earlier = useQuery({ ...jobQuery(copied), enabled: copied !== "" });
  const datasets = useInfiniteQuery(datasetsQuery(project));
  const models = useInfiniteQuery(modelsQuery(project));
  const accelerators = useQuery(acceleratorsQuery(project));
  const families = useQuery(familiesQuery);
  const switchedOff = new Set(families.data?.flatMap((family) => family.unavailableReason ?? []));
  const latest = datasets.data?.pages
    .flatMap((page) => page.datasets ?? [])
    .flatMap((row) => row.latestVersion ?? []);
  const asked = params.get("version") ?? earlier.data?.spec.datasetVersion ?? "";
  const versions = [...new Set([...(asked ? [asked] : []), ...(latest ?? [])])].map((version) => ({
    value: version,
    label: `${idOf(version, "datasets")} ${lastOf(version)}`,
  }));
  const first = useQuery({ ...versionQuery(versions[0]?.value ?? ""), enabled: versions.length > 0 });
  const bases = models.data?.pages.flatMap((page) => page.models ?? []);
  const queries = [datasets, models, accelerators, families, ...(copied ? [earlier] : [])];
  const error = queries.find((query) => query.error)?.error;
  const ready = queries.every((query) => query.isSuccess) && !first.isLoading;
  return (
    <Page title="Start a job" trail={[{ to: "/jobs", label: "Jobs" }]}>
      {[...switchedOff].map((reason) => (
        <p key={reason} className={css.unavailable}>
          {reason}
        </p>
      ))}
      {error && (
        <Failure error={error} retry={() => void Promise.all(queries.map((query) => query.refetch()))} />
      )}
      {!error && !ready && <Loading what="the form" />}
      {datasets.isSuccess && versions.length === 0 && (
        <Empty title="There is no data to train on yet">
          <Button component={Link} to="/datasets/import" size="xs">
            Import data
          </Button>
        </Empty>
      )}
      {ready && bases && accelerators.data && families.data && versions.length > 0 && (
        <JobForm
          key={copied}
          versions={versions}
          models={bases}
          families={families.data}
          accelerators={accelerators.data.map(acceleratorOf)}
          start={startOf(
            versions[0]?.value ?? "",
            earlier.data?.spec,
            params.get("base") ?? firstFit(bases, families.data, kindsOf(first.data)),
          )}
        />
      )}
    </Page>
  );
}

/** What the form shows first: a job that is copied, or a base model for the data. */
function startOf(version: string, copied: TrainingJobSpec | undefined, base: string): FormValues {
  if (copied) return { ...formOf(copied), datasetVersion: version };
  return { ...EMPTY_FORM, datasetVersion: version, base };
}

/** The first base model that can be trained on the data. */
function firstFit(models: readonly Model[], families: readonly ModelFamily[], kinds: string[]): string {
  const choices = models.map((model) => choiceOf(model, families, kinds));
  return choices.find((choice) => !choice.refused)?.value ?? "hub";
}

function choiceOf(model: Model, families: readonly ModelFamily[], kinds: readonly string[]): Choice {
  const name = model.name ?? "";
  const preset = idOf(name, "presets");
  const id = preset || lastOf(name);
  return {
    value: preset ? `preset:${preset}` : `model:${name}`,
    label: model.displayName && model.displayName !== id ? `${id} – ${model.displayName}` : id,
    hint: model.description ?? "",
    refused: whyNot(familyOf(model, families), kinds),
  };
}

function familyOf(model: Model | undefined, families: readonly ModelFamily[]): ModelFamily | undefined {
  return families.find((each) => each.family === model?.family);
}

function acceleratorOf(kind: Accelerator): Choice {
  const gib = int(kind.memoryBytes) / 2 ** 30;
  const memory = gib > 0 ? `${measure(gib)} GiB each, ` : "";
  const name = lastOf(kind.name ?? "");
  return { value: name, label: name, hint: `${memory}up to ${count(kind.maxCount)} on a node` };
}

interface JobFormProps {
  versions: Choice[];
  models: readonly Model[];
  families: readonly ModelFamily[];
  accelerators: Choice[];
  start: FormValues;
}

function JobForm({ versions, models, families, accelerators, start: first }: JobFormProps) {
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
            versions={versions}
            bases={bases}
            accelerators={accelerators}
            problems={problems}
            validation={validation.data}
            family={familyOf(chosen, families)}
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

interface VerdictProps {
  problems: Problems;
  ready: boolean;
  settled: boolean;
  validation: Validation | undefined;
}

function Verdict({ problems, ready, settled, validation }: VerdictProps) {
  const resolved = validation?.resolvedSpec;
  return (
    <Panel title="What will run">
      <div className="stack" role="status">
        {!ready && problems.size === 0 && <p className="muted">Choose the data and a base model.</p>}
        {problems.size > 0 && (
          <p className={css.bad}>
            {problems.size === 1 ? "One field needs" : `${problems.size} fields need`} a change
          </p>
        )}
        {ready &&
          problems.size === 0 &&
          (settled ? <p className={css.good}>Ready to start</p> : <p>Checking…</p>)}
        {(validation?.warnings ?? []).map(({ message, remedy }) => (
          <p key={message} className={css.warned}>
            {message} {remedy}
          </p>
        ))}
        {problems.has(ELSEWHERE) && <p className={css.elsewhere}>{problems.get(ELSEWHERE)}</p>}
        {problems.size === 0 && resolved && (
          <Facts
            rows={[
              ["Steps", int(validation.totalSteps) > 0 ? count(validation.totalSteps) : undefined],
              ["Method", resolved.adaptation?.method?.replace("METHOD_", "").toLowerCase()],
              ["Epochs", number(resolved.hyperparameters?.epochs)],
              ["Learning rate", number(resolved.hyperparameters?.learningRate)],
              ["Batch size", number(resolved.hyperparameters?.batchSize)],
              ["Augmentation", transformsOf(resolved.augmentation)],
              ["Machines", resolved.resources?.spot === "SPOT_ONLY" ? "spot" : undefined],
              ["Queue", resolved.resources?.queue],
              ["Priority", resolved.resources?.priority],
              ["Accelerators", acceleratorsOf(resolved.resources)],
              ["Attempts", number(resolved.resources?.maxAttempts)],
            ]}
          />
        )}
      </div>
    </Panel>
  );
}

function acceleratorsOf(resources: TrainingJobSpec["resources"]): string | undefined {
  const kind = resources?.accelerator;
  return kind ? `${count(resources.acceleratorCount)} × ${kind}` : undefined;
}

function transformsOf(augmentation: TrainingJobSpec["augmentation"]): string | undefined {
  return augmentation?.transforms?.map((transform) => transform.name).join(", ");
}

function number(value: number | string | undefined): string | undefined {
  return value === undefined ? undefined : measure(Number(value));
}
