/** What nobody needs any more: counted first, then removed. It happens by itself once a day, too. */
import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { operationQuery } from "../../api/datasets";
import { fromStatus } from "../../api/errors";
import { collectGarbage } from "../../api/uploads";
import type { Garbage } from "../../api/types";
import { Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { bytes, count } from "../../lib/format";
import { garbageRows, type GarbageRow } from "../../lib/quota";
import css from "./storage.module.css";

const COLUMNS: readonly Column<GarbageRow>[] = [
  { name: "What", cell: (row) => row.name },
  { name: "Count", cell: (row) => count(row.count), number: true },
  { name: "Size", cell: (row) => bytes(row.sizeBytes), number: true },
];

export function CleanUp({ project }: { project: string }) {
  const [operation, setOperation] = useState("");
  const start = useMutation({
    mutationFn: (dryRun: boolean) => collectGarbage(project, dryRun),
    onSuccess: ({ name = "" }) => setOperation(name),
  });
  return (
    <Panel title="Clean-up" aside={<span className="muted">also once a day by itself</span>}>
      <div className="stack">
        <p className="muted">
          Uploads that expired, deletions that can no longer be taken back, and bytes that belong to nothing.
        </p>
        {start.isError && <Failure error={start.error} />}
        {operation && <Result key={operation} operation={operation} />}
        <div className={css.actions}>
          <Button size="xs" variant="default" loading={start.isPending} onClick={() => start.mutate(true)}>
            Count what can go
          </Button>
          {operation && (
            <Button size="xs" variant="default" loading={start.isPending} onClick={() => start.mutate(false)}>
              Remove it
            </Button>
          )}
        </div>
      </div>
    </Panel>
  );
}

function Result({ operation }: { operation: string }) {
  const queries = useQueryClient();
  const { data, error, refetch } = useQuery(operationQuery(operation));
  const found = data?.response as Garbage | undefined;
  const freed = found && !found.dryRun;
  useEffect(() => {
    if (!freed) return;
    for (const key of ["quota", "usage"]) void queries.invalidateQueries({ queryKey: [key] });
  }, [freed, queries]);
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!data?.done) return <Loading what="what can go" />;
  if (data.error) return <Failure error={fromStatus(data.error)} />;
  return (
    <>
      <Table label="Clean-up" columns={COLUMNS} rows={garbageRows(found)} rowKey={(row) => row.name} />
      <p role="status">{found?.dryRun ? "Nothing was removed." : `Freed ${bytes(found?.freedBytes)}.`}</p>
    </>
  );
}
