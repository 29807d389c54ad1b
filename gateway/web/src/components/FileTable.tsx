/** Files of a result, each with a link that downloads it. */
import type { ArtifactFile } from "../api/types";
import { bytes } from "../lib/format";
import { Copyable } from "./Copyable";
import { Icon } from "./icons";
import { Table, type Column } from "./Table";

const COLUMNS: readonly Column<ArtifactFile>[] = [
  {
    name: "File",
    cell: (file) => (
      <a href={file.url} target="_blank" rel="noreferrer">
        <Icon name="download" size={12} /> {file.path}
      </a>
    ),
  },
  { name: "Size", cell: (file) => bytes(file.sizeBytes), number: true },
  {
    name: "sha256",
    cell: (file) => <Copyable value={file.sha256 ?? ""} shown={(file.sha256 ?? "").slice(0, 12)} />,
    wide: true,
  },
];

export function FileTable({ label, files }: { label: string; files: readonly ArtifactFile[] }) {
  return <Table label={label} columns={COLUMNS} rows={files} rowKey={(file) => file.path ?? ""} />;
}
