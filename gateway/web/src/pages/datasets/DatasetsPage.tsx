/** All datasets of the project. */
import { Button } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { datasetsQuery } from "../../api/datasets";
import type { Dataset } from "../../api/types";
import { quotaQuery } from "../../api/uploads";
import { Icon } from "../../components/icons";
import { Meter } from "../../components/Meter";
import { More } from "../../components/More";
import { Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { bytes, count, int } from "../../lib/format";
import { idOf, lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import { Deleted } from "./Deleted";
import css from "./datasets.module.css";

const COLUMNS: readonly Column<Dataset>[] = [
  {
    name: "Dataset",
    cell: (dataset) => (
      <>
        <Link to={pages.dataset(dataset.name ?? "")}>
          {dataset.displayName || idOf(dataset.name, "datasets")}
        </Link>
        {dataset.description && <div className={css.description}>{dataset.description}</div>}
      </>
    ),
  },
  {
    name: "Newest version",
    cell: (dataset) =>
      dataset.latestVersion ? (
        <Link to={pages.version(dataset.latestVersion)}>{lastOf(dataset.latestVersion)}</Link>
      ) : (
        <span className="muted">none yet</span>
      ),
  },
  { name: "Versions", cell: (dataset) => count(dataset.versionCount), number: true, wide: true },
  { name: "Changed", cell: (dataset) => <Ago time={dataset.updateTime} />, number: true },
];

export function Component() {
  const project = useProject();
  const list = useInfiniteQuery(datasetsQuery(project));
  const datasets = list.data?.pages.flatMap((page) => page.datasets ?? []) ?? [];
  return (
    <Page title="Datasets" aside={<QuotaNote project={project} />} actions={<ImportButton />}>
      {list.isPending && <Loading what="datasets" />}
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isSuccess && datasets.length === 0 && (
        <Empty title="No datasets yet">
          <p>
            Import a .tar.gz, .tar or .zip with images and their text. Every file is checked, and each problem
            is named with its file and line.
          </p>
          <ImportButton />
          <p className="muted">
            Or from a terminal: <code>visiontune dataset import digits.tar.gz</code>
          </p>
        </Empty>
      )}
      {datasets.length > 0 && (
        <Panel flush>
          <Table
            label="Datasets"
            columns={COLUMNS}
            rows={datasets}
            rowKey={(dataset) => dataset.name ?? ""}
          />
          <More of={list} />
        </Panel>
      )}
      <Deleted parent={project} collection="datasets" />
    </Page>
  );
}

function ImportButton() {
  return (
    <Button component={Link} to="/datasets/import" size="xs" leftSection={<Icon name="upload" size={14} />}>
      Import data
    </Button>
  );
}

function QuotaNote({ project }: { project: string }) {
  const { data } = useQuery(quotaQuery(project));
  if (!data?.limitBytes) return null;
  const taken = int(data.usedBytes) + int(data.reservedBytes);
  return (
    <Link to="/storage" className={css.quota} title={`${count(data.objectCount)} objects`}>
      <span className="muted">
        {bytes(taken)} of {bytes(data.limitBytes)}
      </span>
      <span className={css.quotaBar}>
        <Meter label="Storage used" done={taken} total={int(data.limitBytes)} />
      </span>
    </Link>
  );
}
