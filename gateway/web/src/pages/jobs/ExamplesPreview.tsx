/** A few examples as the model would get them: which tokens there are, which are trained on, how pictures are seen. */
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { previewQuery } from "../../api/jobs";
import type { ExamplePreview, ModelInput, TrainingJobSpec } from "../../api/types";
import { Panel } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { lastOf } from "../../lib/names";
import { inputInWords, pictureInWords } from "../../lib/preview";
import { useProject } from "../../session/project";
import css from "./preview.module.css";

const AT_ONCE = 3;

/** Nothing is asked until someone wants to see it: a worker's program encodes the examples. */
export function ExamplesPreview({ spec }: { spec: TrainingJobSpec }) {
  const [opened, setOpened] = useState(false);
  return (
    <Panel>
      <details onToggle={(event) => setOpened(event.currentTarget.open)}>
        <summary className={css.summary}>Examples as the model gets them</summary>
        {opened && <Examples spec={spec} />}
      </details>
    </Panel>
  );
}

function Examples({ spec }: { spec: TrainingJobSpec }) {
  // Rows of the version from there; those that the training sees first when undefined.
  const [row, setRow] = useState<number>();
  const rows = row === undefined ? [] : Array.from({ length: AT_ONCE }, (_, index) => row + index);
  const preview = useQuery(previewQuery(useProject(), spec, rows, AT_ONCE));
  const { examples = [], packedRow } = preview.data ?? {};
  return (
    <div className={css.examples}>
      {preview.isPending && <Loading what="the examples" lines={6} />}
      {preview.isError && (
        <Failure
          error={preview.error}
          retry={() => (row === undefined ? void preview.refetch() : setRow(undefined))}
        />
      )}
      {examples.map((example) => (
        <Example key={example.example} example={example} />
      ))}
      {packedRow && <Input input={packedRow} />}
      {preview.isSuccess && (
        <div className={css.foot}>
          <span>
            <mark className={css.trained}>trained on</mark> <mark className={css.image}>image tokens</mark>
          </span>
          <Button
            size="compact-xs"
            variant="subtle"
            onClick={() => setRow(row === undefined ? 0 : row + AT_ONCE)}
          >
            Other examples
          </Button>
        </div>
      )}
    </div>
  );
}

function Example({ example }: { example: ExamplePreview }) {
  return (
    <section className={css.example} aria-label={`Example ${example.id ?? ""}`}>
      <h3>
        Example {Number(lastOf(example.example)) + 1} <code>{example.id}</code>
      </h3>
      {example.problem && <p className={css.problem}>{example.problem}</p>}
      {example.inputs?.map((input, index) => (
        <Input key={index} input={input} />
      ))}
    </section>
  );
}

function Input({ input }: { input: ModelInput }) {
  return (
    <div>
      <p className={css.words}>
        {inputInWords(input)}
        {input.pictures?.map((picture, index) => (
          <span key={index}> · {pictureInWords(picture)}</span>
        ))}
      </p>
      {(input.spans?.length ?? 0) > 0 && (
        <pre className={css.tokens} tabIndex={0} aria-label="Tokens">
          {input.spans?.map((span, index) => {
            if (span.kind === "KIND_IMAGE") {
              return (
                <mark key={index} className={css.image}>
                  {span.text}×{span.tokenCount}
                </mark>
              );
            }
            if (span.kind !== "KIND_TRAINED") return <span key={index}>{span.text}</span>;
            return (
              <mark key={index} className={css.trained}>
                {span.text}
              </mark>
            );
          })}
        </pre>
      )}
    </div>
  );
}
