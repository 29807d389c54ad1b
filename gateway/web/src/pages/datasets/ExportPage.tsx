/** An export as it is written, and then its download. Its address survives a reload. */
import { Button } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { cancelOperation, operationQuery } from "../../api/datasets";
import { fromStatus, type Status } from "../../api/errors";
import { getExport } from "../../api/exports";
import type { Export, ExportVersionMetadata, Operation } from "../../api/types";
import { Copyable } from "../../components/Copyable";
import { Icon } from "../../components/icons";
import { Meter } from "../../components/Meter";
import { Facts, Page, Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { Ago } from "../../components/Time";
import { bytes, count, counted, moment, shortDigest } from "../../lib/format";
import { lastOf, pages } from "../../lib/names";
import { openDownload } from "../../lib/save";
import { useProject } from "../../session/project";
import css from "./datasets.module.css";

export function Component() {
  const { dataset = "", operation = "" } = useParams();
  const datasetName = `${useProject()}/datasets/${dataset}`;
  const name = `${datasetName}/operations/${operation}`;
  const query = useQuery(operationQuery(name));
  const cancel = useMutation({ mutationFn: () => cancelOperation(name) });
  return (
    <Page
      title="Export"
      trail={[
        { to: "/datasets", label: "Datasets" },
        { to: pages.dataset(datasetName), label: dataset },
      ]}
      actions={
        query.data &&
        !query.data.done && (
          <Button size="xs" variant="default" loading={cancel.isPending} onClick={() => cancel.mutate()}>
            Cancel export
          </Button>
        )
      }
    >
      {query.isPending && <Loading what="the export" />}
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {cancel.isError && <Failure error={cancel.error} />}
      {query.data && <Progress operation={query.data} />}
    </Page>
  );
}

function Progress({ operation }: { operation: Operation }) {
  const metadata = (operation.metadata ?? {}) as ExportVersionMetadata;
  const made = operation.response as Export | undefined;
  return (
    <Panel title={`${lastOf(metadata.version)} as an archive`}>
      <div className={css.progress}>
        {!operation.done && (
          <>
            <Meter label="Export" done={metadata.progressPercent ?? 0} total={100} />
            <p role="status">{counted(metadata.exampleCount, "example")} written</p>
          </>
        )}
        {operation.error && <Failure error={fromStatus(operation.error as Status)} />}
        {made && <Made made={made} />}
      </div>
    </Panel>
  );
}

function Made({ made }: { made: Export }) {
  // A signed link stops working after a while, so each download asks for a fresh one.
  const download = useMutation({
    mutationFn: () => getExport(made.name ?? ""),
    onSuccess: ({ url = "" }) => openDownload(url),
  });
  return (
    <>
      <Facts
        rows={[
          ["File", made.filename],
          ["Format", made.format],
          ["Size", bytes(made.sizeBytes)],
          ["Holds", `${counted(made.exampleCount, "example")}, ${count(made.imageCount)} image files`],
          ["sha256", <Copyable key="sha" value={made.sha256 ?? ""} shown={shortDigest(made.sha256)} />],
          ["Written", <Ago key="made" time={made.createTime} />],
          ["Kept until", moment(made.expireTime)],
        ]}
      />
      {download.isError && <Failure error={download.error} />}
      <div className={css.formActions}>
        <Button
          size="xs"
          loading={download.isPending}
          onClick={() => download.mutate()}
          leftSection={<Icon name="download" size={14} />}
        >
          Download
        </Button>
        <Button component={Link} to={pages.version(made.version ?? "")} size="xs" variant="default">
          Back to {lastOf(made.version)}
        </Button>
      </div>
    </>
  );
}
