/** Whether the job of the form can start, and what it then is. */
import type { MadeChoice, TrainingJobSpec, Validation } from "../../api/types";
import { Facts, Panel } from "../../components/Page";
import { count, int, measure } from "../../lib/format";
import { FIELDS } from "../../lib/jobFields";
import { ELSEWHERE, type Problems } from "../../lib/jobForm";
import css from "./jobs.module.css";

interface VerdictProps {
  problems: Problems;
  ready: boolean;
  settled: boolean;
  validation: Validation | undefined;
}

export function Verdict({ problems, ready, settled, validation }: VerdictProps) {
  const resolved = validation?.resolvedSpec;
  const wrong = FIELDS.filter(({ path }) => problems.has(path)).map(({ label }) => label);
  return (
    <Panel title="What will run">
      <div className="stack" role="status">
        {!ready && problems.size === 0 && <p className="muted">Choose the data and a base model.</p>}
        {problems.size > 0 && (
          <p className={css.bad}>
            {problems.size === 1 ? "One field needs" : `${problems.size} fields need`} a change
            {wrong.length > 0 && `: ${wrong.join(", ")}`}
          </p>
        )}
        {ready &&
          problems.size === 0 &&
          (settled ? <p className={css.good}>Ready to start</p> : <p>Checking…</p>)}
        {(validation?.warnings ?? []).map(({ message, remedy }) => (
          <p key={message} className={css.warned}>
            {message} {remedy}
          </p>
        ))}
        {problems.has(ELSEWHERE) && <p className={css.elsewhere}>{problems.get(ELSEWHERE)}</p>}
        {problems.size === 0 && resolved && (
          <Facts
            rows={[
              ["Steps", int(validation.totalSteps) > 0 ? count(validation.totalSteps) : undefined],
              ["Method", resolved.adaptation?.method?.replace("METHOD_", "").toLowerCase()],
              ["Epochs", number(resolved.hyperparameters?.epochs)],
              ["Learning rate", number(resolved.hyperparameters?.learningRate)],
              ["Batch size", number(resolved.hyperparameters?.batchSize)],
              ["Augmentation", transformsOf(resolved.augmentation)],
              ["Machines", resolved.resources?.spot === "SPOT_ONLY" ? "spot" : undefined],
              ["Queue", resolved.resources?.queue],
              ["Priority", resolved.resources?.priority],
              ["Accelerators", acceleratorsOf(resolved.resources)],
              ["Attempts", number(resolved.resources?.maxAttempts)],
            ]}
          />
        )}
        {problems.size === 0 && <Choices choices={validation?.choices ?? []} />}
      </div>
    </Panel>
  );
}

/** What the service chose for fields that were left open, with its reasons. */
function Choices({ choices }: { choices: readonly MadeChoice[] }) {
  const told = choices.filter(({ reason }) => reason);
  if (told.length === 0) return null;
  return (
    <details className={css.more}>
      <summary>Why it was chosen so</summary>
      <dl className={css.choices}>
        {told.map(({ field = "", value, reason }) => (
          <div key={field}>
            <dt>
              <code>{field.replace(/^training_job\.spec\./, "")}</code> {value}
            </dt>
            <dd>{reason}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function acceleratorsOf(resources: TrainingJobSpec["resources"]): string | undefined {
  const kind = resources?.accelerator;
  return kind ? `${count(resources.acceleratorCount)} × ${kind}` : undefined;
}

function transformsOf(augmentation: TrainingJobSpec["augmentation"]): string | undefined {
  return augmentation?.transforms?.map((transform) => transform.name).join(", ");
}

function number(value: number | string | undefined): string | undefined {
  return value === undefined ? undefined : measure(Number(value));
}
