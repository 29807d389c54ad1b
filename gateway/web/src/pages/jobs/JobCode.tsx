/** The job of the form for a terminal and for a program. */
import type { TrainingJobSpec } from "../../api/types";
import { CodeBlock } from "../../components/CodeBlock";
import { Panel } from "../../components/Page";
import { commandOf, pythonOf } from "../../lib/jobCode";
import css from "./jobs.module.css";

export function JobCode({ displayName, spec }: { displayName: string; spec: TrainingJobSpec }) {
  const { origin } = window.location;
  return (
    <Panel>
      <details className={css.more}>
        <summary>The same job from a terminal, or in Python</summary>
        <div className="stack">
          <CodeBlock label="In a terminal" text={commandOf({ displayName, spec })} />
          <CodeBlock label="In Python" text={pythonOf({ displayName, spec }, origin)} />
          <p className="muted">
            Both read your API key from <code>VISIONTUNE_API_KEY</code>. A terminal on another machine also
            needs <code>VISIONTUNE_SERVER={origin}</code>.
          </p>
        </div>
      </details>
    </Panel>
  );
}
