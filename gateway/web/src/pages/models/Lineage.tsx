/** The trainings behind a model, newest first, down to where it all began. */
import { Link } from "react-router";
import type { BaseModel, Generation, GenerationLink } from "../../api/types";
import { Panel } from "../../components/Page";
import { shortDigest } from "../../lib/format";
import { baseModelLabel, baseModelPage } from "../../lib/models";
import { idOf, lastOf, pages } from "../../lib/names";
import { headline } from "../../lib/metrics";
import css from "./models.module.css";

export function Lineage({ generations }: { generations: readonly Generation[] }) {
  if (generations.length === 0) return null;
  const first = generations.at(-1)?.baseModel;
  return (
    <Panel title="Where it comes from">
      <ol className={css.lineage} aria-label="Lineage">
        {generations.map((generation, index) => (
          <li key={index}>
            <Step generation={generation} />
          </li>
        ))}
        {first && !first.model && (
          <li>
            <strong>
              <Base base={first} />
            </strong>
            <div className="muted">where it began</div>
          </li>
        )}
      </ol>
    </Panel>
  );
}

function Step({ generation }: { generation: Generation }) {
  const { model, trainingJob, datasetVersion, datasetDigest, baseModel } = generation;
  const [before, after] = [headline(generation.metricsBefore), headline(generation.metricsAfter)];
  const version = datasetVersion?.name ?? "";
  return (
    <>
      <strong>
        <Named link={model} to={pages.model} label={lastOf(model?.name)} otherwise="not registered" />
      </strong>
      <dl className={css.step}>
        <dt>job</dt>
        <dd>
          <Named link={trainingJob} to={pages.job} label={lastOf(trainingJob?.name)} otherwise="not known" />
          {after && <span className="muted"> {before ? `${before} → ${after}` : after}</span>}
        </dd>
        <dt>data</dt>
        <dd>
          <Named
            link={datasetVersion}
            to={pages.version}
            label={`${idOf(version, "datasets")} ${lastOf(version)}`}
            otherwise="not known"
          />{" "}
          {datasetDigest && <code title={datasetDigest}>{shortDigest(datasetDigest)}</code>}
        </dd>
        <dt>from</dt>
        <dd>{baseModel ? <Base base={baseModel} /> : <span className="muted">not known</span>}</dd>
      </dl>
    </>
  );
}

interface NamedProps {
  link: GenerationLink | undefined;
  to: (name: string) => string;
  label: string;
  /** What stands where there is no such thing. */
  otherwise: string;
}

/** A link to what is there still, the bare name of what is not. */
function Named({ link, to, label, otherwise }: NamedProps) {
  if (!link?.name) return <span className="muted">{otherwise}</span>;
  if (link.deleted) {
    return (
      <span>
        {label} <span className="muted">(deleted)</span>
      </span>
    );
  }
  return <Link to={to(link.name)}>{label}</Link>;
}

function Base({ base }: { base: BaseModel }) {
  const label = baseModelLabel(base);
  const page = baseModelPage(base);
  if (page === undefined) return <span>{base.preset ? `preset ${label}` : label}</span>;
  if (base.model) return <Link to={page}>{label}</Link>;
  return (
    <>
      <a href={page} target="_blank" rel="noreferrer">
        {label}
      </a>{" "}
      {base.hub?.revision && <code>{base.hub.revision.slice(0, 12)}</code>}
    </>
  );
}
