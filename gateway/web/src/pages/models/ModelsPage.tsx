/** What a job can start from: presets, and the results that were registered. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { modelsQuery } from "../../api/jobs";
import type { Model } from "../../api/types";
import { More } from "../../components/More";
import { Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { count, int } from "../../lib/format";
import { baseModelLabel } from "../../lib/models";
import { idOf, lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import css from "./models.module.css";

const SHARED: readonly Column<Model>[] = [
  {
    name: "Model",
    cell: (model) => (
      <>
        <strong>{model.displayName || lastOf(model.name)}</strong>
        {model.description && <div className={css.description}>{model.description}</div>}
      </>
    ),
  },
  { name: "Family", cell: (model) => model.family },
  {
    name: "Parameters",
    cell: (model) => (int(model.parameterCount) > 0 ? count(model.parameterCount) : "–"),
    number: true,
    wide: true,
  },
];

const REGISTERED: readonly Column<Model>[] = [
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

export function Component() {
  const list = useInfiniteQuery(modelsQuery(useProject()));
  const models = list.data?.pages.flatMap((page) => page.models ?? []) ?? [];
  const presets = models.filter((model) => idOf(model.name, "presets"));
  const registered = models.filter((model) => !idOf(model.name, "presets"));
  return (
    <Page title="Models">
      {list.isPending && <Loading what="models" />}
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isSuccess && registered.length === 0 && (
        <Empty title="No registered models yet">
          <p>
            When a job has succeeded, register its result on the job's page: a later job can then start from
            it.
          </p>
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
          <Table label="Presets" columns={SHARED} rows={presets} rowKey={(model) => model.name ?? ""} />
        </Panel>
      )}
    </Page>
  );
}
