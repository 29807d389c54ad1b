/** A few pictures of the data as a policy would vary them, epoch after epoch: what the model will see. */
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { augmentationQuery } from "../../api/datasets";
import { Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import type { AugmentationPreset } from "../../lib/jobForm";
import { lastOf } from "../../lib/names";
import css from "./jobs.module.css";

const AT_ONCE = 3;

interface PreviewProps {
  version: string;
  preset: AugmentationPreset;
  /** A preset whose processor cuts and scales; empty shows the pictures before that. */
  base: string;
}

export function AugmentationPreview({ version, preset, base }: PreviewProps) {
  const [first, setFirst] = useState(0);
  const rows = Array.from({ length: AT_ONCE }, (_, index) => first + index);
  const preview = useQuery(augmentationQuery(version, { preset }, base, rows));
  return (
    <Panel
      title="What the model will see"
      aside={
        <Button size="compact-xs" variant="subtle" onClick={() => setFirst(first + AT_ONCE)}>
          Other pictures
        </Button>
      }
    >
      <div className={css.previews}>
        {preview.isPending && <Loading what="the preview" />}
        {preview.isError && (
          <Failure error={preview.error} retry={() => (first > 0 ? setFirst(0) : void preview.refetch())} />
        )}
        {preview.data?.warnings?.map((warning) => (
          <p key={warning} className={css.warned}>
            {warning}
          </p>
        ))}
        {preview.data?.examples?.map(({ example = "", contentType = "", original = "", augmented = [] }) => (
          <div
            key={example}
            className={css.preview}
            role="group"
            aria-label={`Example ${Number(lastOf(example)) + 1}`}
          >
            <figure className={css.original}>
              <img src={`data:${contentType};base64,${original}`} alt="" />
              <figcaption>as it is</figcaption>
            </figure>
            {augmented.map((picture, epoch) => (
              <figure key={epoch}>
                <img src={`data:${contentType};base64,${picture}`} alt="" />
                <figcaption>epoch {epoch + 1}</figcaption>
              </figure>
            ))}
          </div>
        ))}
      </div>
    </Panel>
  );
}
