/** Asks for the form in which a version is taken away, and starts its export. */
import { Button, Modal, SegmentedControl, Select } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { formatsQuery } from "../../api/datasets";
import { exportVersion, type ArchiveKind } from "../../api/exports";
import type { DatasetVersion } from "../../api/types";
import { Failure } from "../../components/states";
import { formatsFor } from "../../lib/formats";
import { pages } from "../../lib/names";
import css from "./version.module.css";

const ARCHIVES: { value: ArchiveKind; label: string }[] = [
  { value: "ARCHIVE_TAR_GZ", label: ".tar.gz" },
  { value: "ARCHIVE_TAR", label: ".tar" },
  { value: "ARCHIVE_ZIP", label: ".zip" },
];

export function ExportButton({ version }: { version: DatasetVersion }) {
  const navigate = useNavigate();
  const [opened, dialog] = useDisclosure(false);
  const [chosen, setChosen] = useState("");
  const [archive, setArchive] = useState<ArchiveKind>("ARCHIVE_TAR_GZ");
  const formats = useQuery({ ...formatsQuery, enabled: opened });
  const fitting = formatsFor(version, formats.data ?? []);
  const format = chosen || (fitting.includes(version.format ?? "") ? version.format : fitting[0]) || "";
  const start = useMutation({
    mutationFn: () => exportVersion(version.name ?? "", format, archive),
    onSuccess: (operation) => navigate(pages.export(operation.name ?? "")),
  });
  return (
    <>
      <Button size="xs" variant="default" onClick={dialog.open}>
        Export
      </Button>
      <Modal opened={opened} onClose={dialog.close} title="Export this version" lockScroll={false} centered>
        <div className={css.fieldStack}>
          <Select
            label="Format"
            description="Those that have a place for all that it holds. Imported again it is the same version."
            data={fitting}
            value={format}
            onChange={(value) => setChosen(value ?? "")}
            allowDeselect={false}
          />
          <SegmentedControl
            aria-label="Kind of archive"
            size="sm"
            data={ARCHIVES}
            value={archive}
            onChange={setArchive}
          />
          {start.isError && <Failure error={start.error} />}
          {formats.isError && <Failure error={formats.error} retry={() => void formats.refetch()} />}
          <Button size="sm" loading={start.isPending} disabled={!format} onClick={() => start.mutate()}>
            Start the export
          </Button>
        </div>
      </Modal>
    </>
  );
}
