/** What an archive may look like, as the server describes it. */
import { useQuery } from "@tanstack/react-query";
import { formatsQuery } from "../../api/datasets";
import type { Format } from "../../api/types";
import { Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { pretty } from "../../lib/format";
import css from "./datasets.module.css";

export function Formats() {
  const formats = useQuery(formatsQuery);
  return (
    <Panel title="What an archive looks like">
      <div className={css.progress}>
        {formats.isPending && <Loading what="formats" />}
        {formats.isError && <Failure error={formats.error} retry={() => void formats.refetch()} />}
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
        <strong>{format.format}</strong> <span>{format.description}</span>
      </summary>
      <pre className={css.layout}>{format.layout}</pre>
      <p className="muted">One record:</p>
      <pre className={css.layout}>{pretty(format.exampleRecord ?? "")}</pre>
    </details>
  );
}
