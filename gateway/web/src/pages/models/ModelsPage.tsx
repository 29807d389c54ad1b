/** What a job can start from: presets, and the results that were registered. */
import { Button, Select } from "@mantine/core";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link, useSearchParams } from "react-router";
import { datasetsQuery } from "../../api/datasets";
import { familiesQuery } from "../../api/jobs";
import { modelsQuery, type ModelFilter } from "../../api/models";
import type { Model } from "../../api/types";
import { More } from "../../components/More";
import { Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { kindsInWords } from "../../lib/families";
import { count, int } from "../../lib/format";
import { baseModelLabel } from "../../lib/models";
import { idOf, lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import css from "./models.module.css";

const FILTERS = ["family", "dataset", "base"] as const;

const nameColumn = (named: (model: Model, label: string) => ReactNode): Column<Model> => ({
  name: "Model",
  cell: (model) => (
    <>
      {named(model, model.displayName || lastOf(model.name))}
      {model.description && <div className={css.description}>{model.description}</div>}
    </>
  ),
});

const SHARED: readonly Column<Model>[] = [
  {
    name: "Family",
    cell: (model) => (
      <>
        {model.family}
        <Takes family={model.family} />
      </>
    ),
  },
  {
    name: "Parameters",
    cell: (model) => (int(model.parameterCount) > 0 ? count(model.parameterCount) : "–"),
    number: true,
    wide: true,
  },
];

const PRESETS: readonly Column<Model>[] = [
  nameColumn((model, label) => <Link to={pages.trainOn(`preset:${lastOf(model.name)}`)}>{label}</Link>),
  ...SHARED,
];

const REGISTERED: readonly Column<Model>[] = [
  nameColumn((model, label) => <Link to={pages.model(model.name ?? "")}>{label}</Link>),
  ...SHARED,
  {
    name: "Kind",
    cell: (model) => (model.isAdapter ? `adapter on ${baseModelLabel(model.baseModel)}` : "full weights"),
    wide: true,
  },
  {
    name: "Made by",
    cell: (model) => <Link to={pages.job(model.trainingJob ?? "")}>{lastOf(model.trainingJob)}</Link>,
  },
  { name: "Registered", cell: (model) => <Ago time={model.createTime} />, number: true, wide: true },
];

/** The data that a family can be trained on. */
function Takes({ family }: { family: string | undefined }) {
  const families = useQuery(familiesQuery);
  const takes = families.data?.find((each) => each.family === family)?.takes ?? [];
  return takes.length > 0 && <div className={css.description}>takes {kindsInWords(takes)}</div>;
}

export function Component() {
  const [params, setParams] = useSearchParams();
  const filter: ModelFilter = {};
  for (const key of FILTERS) {
    const value = params.get(key);
    if (value) filter[key] = value;
  }
  const list = useInfiniteQuery({
    ...modelsQuery(useProject(), filter),
    placeholderData: keepPreviousData,
  });
  const models = list.data?.pages.flatMap((page) => page.models ?? []) ?? [];
  const presets = models.filter((model) => idOf(model.name, "presets"));
  const registered = models.filter((model) => !idOf(model.name, "presets"));
  const narrowed = Object.keys(filter).length > 0;
  return (
    <Page title="Models">
      <Filters filter={filter} change={(next) => setParams(next)} />
      {list.isPending && <Loading what="models" />}
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isSuccess && registered.length === 0 && !narrowed && (
        <Empty title="No registered models yet">
          <p>
            When a job has succeeded, register its result on the job's page: a later job can then start from
            it.
          </p>
        </Empty>
      )}
      {list.isSuccess && models.length === 0 && narrowed && (
        <Empty title="No such models">
          <Button size="xs" variant="default" onClick={() => setParams({})}>
            Show all
          </Button>
        </Empty>
      )}
      {registered.length > 0 && (
        <Panel title="Registered" flush>
          <Table
            label="Registered models"
            columns={REGISTERED}
            rows={registered}
            rowKey={(model) => model.name ?? ""}
          />
          <More of={list} />
        </Panel>
      )}
      {presets.length > 0 && (
        <Panel
          title="Presets"
          flush
          aside={<span className="muted">small, built from a config, no download</span>}
        >
          <Table label="Presets" columns={PRESETS} rows={presets} rowKey={(model) => model.name ?? ""} />
        </Panel>
      )}
    </Page>
  );
}

interface FiltersProps {
  filter: ModelFilter;
  change: (filter: Record<string, string>) => void;
}

/** Narrows the list: by what a model is, what it learnt from and what it came from, also generations ago. */
function Filters({ filter, change }: FiltersProps) {
  const project = useProject();
  const families = useQuery(familiesQuery);
  const datasets = useInfiniteQuery(datasetsQuery(project));
  const models = useInfiniteQuery(modelsQuery(project));
  const choices: Record<keyof ModelFilter, { label: string; names: (string | undefined)[] | undefined }> = {
    family: { label: "Family", names: families.data?.map(({ family }) => family) },
    dataset: {
      label: "Learnt from",
      names: datasets.data?.pages.flatMap((page) => page.datasets ?? []).map(({ name }) => name),
    },
    base: {
      label: "Came from",
      names: models.data?.pages.flatMap((page) => page.models ?? []).map(({ name }) => name),
    },
  };
  return (
    <div className={css.filters} role="group" aria-label="Filters">
      {FILTERS.map((key) => {
        const { label, names } = choices[key];
        const chosen = filter[key] ?? "";
        const all = new Set([...(names ?? []).flatMap((name) => name ?? []), ...(chosen ? [chosen] : [])]);
        return (
          <Select
            key={key}
            size="xs"
            label={label}
            placeholder="any"
            data={[...all].map((value) => ({ value, label: lastOf(value) }))}
            value={chosen || null}
            onChange={(value) => {
              const others = Object.entries(filter).filter(([each]) => each !== key);
              change(Object.fromEntries(value ? [...others, [key, value]] : others));
            }}
            clearable
            searchable
          />
        );
      })}
    </div>
  );
}
