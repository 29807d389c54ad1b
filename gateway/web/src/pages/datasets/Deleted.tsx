/** What was deleted and can be brought back; nothing while there is none of it. */
import { Button } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { deletedQuery, undelete } from "../../api/datasets";
import type { Dataset, DatasetVersion } from "../../api/types";
import { More } from "../../components/More";
import { Panel } from "../../components/Page";
import { Failure } from "../../components/states";
import { Table, type Column } from "../../components/Table";
import { moment } from "../../lib/format";
import { lastOf } from "../../lib/names";

interface DeletedProps {
  /** The project of deleted datasets, or the dataset of deleted versions. */
  parent: string;
  collection: "datasets" | "versions";
}

export function Deleted({ parent, collection }: DeletedProps) {
  const list = useInfiniteQuery(deletedQuery(parent, collection));
  const deleted = list.data?.pages.flatMap((page) => page.deleted) ?? [];
  const columns: readonly Column<Dataset | DatasetVersion>[] = [
    { name: collection === "datasets" ? "Dataset" : "Version", cell: (each) => lastOf(each.name) },
    { name: "Until", cell: (each) => moment(each.purgeTime), number: true, wide: true },
    { name: "", cell: (each) => <BringBack name={each.name ?? ""} />, number: true },
  ];
  if (deleted.length === 0) return null;
  return (
    <Panel title="Deleted" flush>
      <Table label="Deleted" columns={columns} rows={deleted} rowKey={(each) => each.name ?? ""} />
      <More of={list} />
    </Panel>
  );
}

function BringBack({ name }: { name: string }) {
  const queries = useQueryClient();
  const back = useMutation({
    mutationFn: () => undelete(name),
    onSuccess: () =>
      Promise.all(
        ["datasets", "dataset", "versions"].map((key) => queries.invalidateQueries({ queryKey: [key] })),
      ),
  });
  return (
    <>
      {back.error && <Failure error={back.error} />}
      <Button size="xs" variant="default" loading={back.isPending} onClick={() => back.mutate()}>
        Bring back
      </Button>
    </>
  );
}
