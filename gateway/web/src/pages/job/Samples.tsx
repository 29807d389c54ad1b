/** What the model says about the same held-out examples, before and after, beside their pictures. */
import { useQuery } from "@tanstack/react-query";
import { Fragment, useState } from "react";
import { Link } from "react-router";
import { thumbnailQuery } from "../../api/datasets";
import { sampleAnswersQuery, samplesQuery } from "../../api/jobs";
import type { Sample, TrainingJob } from "../../api/types";
import { ThumbnailImage } from "../../components/ThumbnailImage";
import { Empty, Failure, Loading } from "../../components/states";
import { count } from "../../lib/format";
import { lastOf, pages, versionOf } from "../../lib/names";
import css from "./job.module.css";

export function Samples({ job }: { job: TrainingJob }) {
  const query = useQuery(samplesQuery(job.name ?? ""));
  if (query.isPending) return <Loading what="samples" />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  const samples = query.data;
  if (samples.length === 0) {
    return (
      <Empty title="No samples yet">
        The model answers a few held-out examples before training and after each evaluation.
      </Empty>
    );
  }
  const after = samples.filter((sample) => sample.after !== undefined);
  const right = (pick: (sample: Sample) => string | undefined) =>
    samples.filter((s) => agrees(pick(s), s)).length;
  return (
    <div className="stack">
      <p>
        Right before: <strong>{count(right((sample) => sample.before))}</strong>, now:{" "}
        <strong>{count(right((sample) => sample.after))}</strong> of {count(samples.length)}
        {after[0]?.afterStep && <span className="muted"> (step {count(after[0].afterStep)})</span>}
      </p>
      <ul className={css.samples}>
        {samples.map((sample) => (
          <SampleCard key={sample.example} job={job.name ?? ""} sample={sample} />
        ))}
      </ul>
    </div>
  );
}

function agrees(answer: string | undefined, sample: Sample): boolean {
  return (answer ?? "").trim() === (sample.expected ?? "").trim();
}

function SampleCard({ job, sample }: { job: string; sample: Sample }) {
  const name = sample.example ?? "";
  const thumbnail = useQuery(thumbnailQuery(name));
  return (
    <li className={css.sample}>
      <Link
        to={`${pages.version(versionOf(name))}?at=${lastOf(name)}`}
        className={css.sampleImage}
        aria-label="Show the example"
      >
        {thumbnail.data && <ThumbnailImage thumbnail={thumbnail.data} />}
      </Link>
      <div className={css.sampleText}>
        <p className={css.prompt}>{(sample.prompt ?? "").replaceAll("<image>", "").trim()}</p>
        <dl className={css.answers}>
          <dt>expected</dt>
          <dd>{sample.expected}</dd>
          <dt>before</dt>
          <Answer sample={sample} text={sample.before} />
          <dt>after</dt>
          <Answer sample={sample} text={sample.after} />
        </dl>
        {sample.after !== undefined && <Steps job={job} sample={sample} />}
      </div>
    </li>
  );
}

/** What was said at every evaluation, fetched when it is opened. */
function Steps({ job, sample }: { job: string; sample: Sample }) {
  const [open, setOpen] = useState(false);
  const query = useQuery({ ...sampleAnswersQuery(job, sample.example ?? ""), enabled: open });
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Every evaluation</summary>
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      <dl className={css.answers}>
        {query.data?.map(({ step, text }) => (
          <Fragment key={step ?? 0}>
            <dt>step {count(step)}</dt>
            <Answer sample={sample} text={text ?? ""} />
          </Fragment>
        ))}
      </dl>
    </details>
  );
}

function Answer({ sample, text }: { sample: Sample; text: string | undefined }) {
  if (text === undefined) return <dd className="muted">–</dd>;
  return <dd className={agrees(text, sample) ? css.right : css.wrong}>{text || "(nothing)"}</dd>;
}
