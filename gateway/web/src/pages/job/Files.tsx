/** What a job leaves behind: results to download, checkpoints to go on from. */
import { useQuery } from "@tanstack/react-query";
import { artifactsQuery, checkpointsQuery } from "../../api/jobs";
import type { Artifact, Checkpoint, TrainingJob } from "../../api/types";
import { Copyable } from "../../components/Copyable";
import { FileTable } from "../../components/FileTable";
import { Panel } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { Ago } from "../../components/Time";
import { bytes, count, measure } from "../../lib/format";
import { lastOf } from "../../lib/names";

const CHECKPOINT_COLUMNS: readonly Column<Checkpoint>[] = [
  {
    name: "Checkpoint",
    cell: (checkpoint) => `${lastOf(checkpoint.name)}${checkpoint.isBest ? " (best)" : ""}`,
  },
  { name: "Epoch", cell: (checkpoint) => measure(checkpoint.epoch ?? 0), number: true },
  { name: "Attempt", cell: (checkpoint) => count(checkpoint.attempt), number: true, wide: true },
  { name: "Size", cell: (checkpoint) => bytes(checkpoint.sizeBytes), number: true },
  { name: "Saved", cell: (checkpoint) => <Ago time={checkpoint.createTime} />, number: true },
];

export function Files({ job }: { job: TrainingJob }) {
  const name = job.name ?? "";
  const artifacts = useQuery(artifactsQuery(name));
  const checkpoints = useQuery(checkpointsQuery(name));
  return (
    <div className="stack">
      {artifacts.isPending && <Loading what="artifacts" />}
      {artifacts.isError && <Failure error={artifacts.error} retry={() => void artifacts.refetch()} />}
      {artifacts.data?.length === 0 && (
        <Empty title="No results yet">A job that succeeds leaves its model or adapter here.</Empty>
      )}
      {artifacts.data?.map((artifact) => (
        <ArtifactPanel key={artifact.name} artifact={artifact} job={name} />
      ))}
      {checkpoints.isError && <Failure error={checkpoints.error} retry={() => void checkpoints.refetch()} />}
      {(checkpoints.data?.length ?? 0) > 0 && (
        <Panel title="Checkpoints" flush>
          <Table
            label="Checkpoints"
            columns={CHECKPOINT_COLUMNS}
            rows={checkpoints.data ?? []}
            rowKey={(checkpoint) => checkpoint.name ?? ""}
          />
        </Panel>
      )}
    </div>
  );
}

function ArtifactPanel({ artifact, job }: { artifact: Artifact; job: string }) {
  const command = `visiontune job artifacts ${lastOf(job)}`;
  return (
    <Panel
      title={`${lastOf(artifact.name)} · ${bytes(artifact.sizeBytes)}`}
      aside={<Copyable value={command} />}
      flush
    >
      <FileTable label={`Files of ${lastOf(artifact.name)}`} files={artifact.files ?? []} />
    </Panel>
  );
}
