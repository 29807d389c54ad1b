/** One dataset and its versions. */
import { Button } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "react-router";
import { datasetQuery, deleteDataset, versionsQuery } from "../../api/datasets";
import type { DatasetVersion } from "../../api/types";
import { Confirm } from "../../components/Confirm";
import { Copyable } from "../../components/Copyable";
import { Icon } from "../../components/icons";
import { More } from "../../components/More";
import { Page, Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { bytes, count, shortDigest } from "../../lib/format";
import { lastOf, pages } from "../../lib/names";
import { useProject } from "../../session/project";
import { Deleted } from "./Deleted";

const COLUMNS: readonly Column<DatasetVersion>[] = [
  {
    name: "Version",
    cell: (version) => <Link to={pages.version(version.name ?? "")}>{lastOf(version.name)}</Link>,
  },
  { name: "Examples", cell: (version) => count(version.exampleCount), number: true },
  { name: "Images", cell: (version) => count(version.imageCount), number: true, wide: true },
  { name: "Size", cell: (version) => bytes(version.sizeBytes), number: true, wide: true },
  { name: "Format", cell: (version) => version.format, wide: true },
  { name: "Imported from", cell: (version) => version.sourceFilename, wide: true },
  {
    name: "Digest",
    cell: (version) => <Copyable value={version.digest ?? ""} shown={shortDigest(version.digest)} />,
    wide: true,
  },
  { name: "Made", cell: (version) => <Ago time={version.createTime} />, number: true },
];

export function Component() {
  const { dataset: id = "" } = useParams();
  const name = `${useProject()}/datasets/${id}`;
  const dataset = useQuery(datasetQuery(name));
  const list = useInfiniteQuery(versionsQuery(name));
  const versions = list.data?.pages.flatMap((page) => page.versions ?? []) ?? [];
  const importPath = `/datasets/import?dataset=${id}`;
  return (
    <Page
      title={dataset.data?.displayName || id}
      trail={[{ to: "/datasets", label: "Datasets" }]}
      actions={
        dataset.isSuccess && (
          <Actions name={name} latest={dataset.data.latestVersion} importPath={importPath} />
        )
      }
    >
      {dataset.isError && <Failure error={dataset.error} retry={() => void dataset.refetch()} />}
      {dataset.data?.description && <p>{dataset.data.description}</p>}
      {list.isPending && <Loading what="versions" />}
      {list.isError && !dataset.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {dataset.isSuccess && list.isSuccess && versions.length === 0 && (
        <Empty title="No version yet">
          <p>An import that succeeds makes the first one.</p>
          <Button component={Link} to={importPath} size="xs">
            Import data
          </Button>
        </Empty>
      )}
      {versions.length > 0 && (
        <Panel title="Versions" flush>
          <Table
            label="Versions"
            columns={COLUMNS}
            rows={versions}
            rowKey={(version) => version.name ?? ""}
          />
          <More of={list} />
        </Panel>
      )}
      {dataset.isSuccess && <Deleted parent={name} collection="versions" />}
    </Page>
  );
}

interface ActionsProps {
  name: string;
  latest: string | undefined;
  importPath: string;
}

function Actions({ name, latest, importPath }: ActionsProps) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteDataset(name),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ["datasets"] });
      await navigate("/datasets");
    },
  });
  return (
    <>
      <Confirm
        label="Delete"
        title={`Delete ${lastOf(name)}?`}
        action={remove}
        text="All its versions and their images go. It can be brought back for a while, and takes its space so long. Models trained on it stay."
      />
      <Button
        component={Link}
        to={importPath}
        size="xs"
        variant="default"
        leftSection={<Icon name="upload" size={14} />}
      >
        Import a new version
      </Button>
      {latest && (
        <Button component={Link} to={pages.newJob(latest)} size="xs">
          Train on {lastOf(latest)}
        </Button>
      )}
    </>
  );
}
