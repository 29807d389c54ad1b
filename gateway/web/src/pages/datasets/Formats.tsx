/** What an archive may look like, as the server describes it. */
import { Button } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { fetchTemplate, formatsQuery } from "../../api/datasets";
import type { Format } from "../../api/types";
import { Icon } from "../../components/icons";
import { Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { pretty } from "../../lib/format";
import { switchedOff } from "../../lib/formats";
import { saveAs } from "../../lib/save";
import css from "./datasets.module.css";

export function Formats() {
  const formats = useQuery(formatsQuery);
  const off = switchedOff(
    (formats.data ?? []).map((row) => ({ name: row.format ?? "", reason: row.unavailableReason ?? "" })),
  );
  return (
    <Panel title="What an archive looks like">
      <div className={css.progress}>
        {formats.isPending && <Loading what="formats" />}
        {formats.isError && <Failure error={formats.error} retry={() => void formats.refetch()} />}
        {off && <p className={css.unavailable}>{off}</p>}
        {formats.data?.map((format) => (
          <FormatView key={format.format} format={format} />
        ))}
        <p className="muted">
          The format is detected. Validation examples are chosen by a hash of their id where the data names no
          splits.
        </p>
      </div>
    </Panel>
  );
}

function FormatView({ format }: { format: Format }) {
  return (
    <details className={css.format}>
      <summary>
        <strong>{format.format}</strong> {format.unavailableReason && <em>switched off: </em>}
        <span>{format.description}</span>
      </summary>
      <TemplateButton format={format.format ?? ""} />
      <pre className={css.layout}>{format.layout}</pre>
      <p className="muted">One record:</p>
      <pre className={css.layout}>{pretty(format.exampleRecord ?? "")}</pre>
    </details>
  );
}

function TemplateButton({ format }: { format: string }) {
  const template = useMutation({
    mutationFn: () => fetchTemplate(format),
    onSuccess: (archive) => saveAs(archive, `${format}-template.zip`),
  });
  return (
    <div>
      <Button
        size="compact-xs"
        variant="default"
        loading={template.isPending}
        onClick={() => template.mutate()}
        aria-label={`Download a template of ${format}`}
        leftSection={<Icon name="download" size={13} />}
      >
        Download a template
      </Button>
      {template.isError && <Failure error={template.error} />}
    </div>
  );
}
