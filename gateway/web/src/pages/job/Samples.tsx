/** What the model says about the same held-out examples at each evaluation, beside their pictures. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { thumbnailQuery } from "../../api/datasets";
import { samplesQuery } from "../../api/jobs";
import type { Sample, TrainingJob } from "../../api/types";
import { ThumbnailImage } from "../../components/ThumbnailImage";
import { Empty, Failure, Loading } from "../../components/states";
import { count, int } from "../../lib/format";
import { lastOf, pages, versionOf } from "../../lib/names";
import { agrees, answerAt, stepsOf } from "../../lib/samples";
import css from "./job.module.css";

export function Samples({ job }: { job: TrainingJob }) {
  const query = useQuery(samplesQuery(job.name ?? ""));
  // The newest until another one is chosen.
  const [chosen, setChosen] = useState<number>();
  if (query.isPending) return <Loading what="samples" />;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
  const samples = query.data;
  const steps = stepsOf(samples);
  const best = job.progress?.best ? int(job.progress.best.step) : undefined;
  const step = chosen ?? steps.at(-1) ?? 0;
  if (samples.length === 0) {
    return (
      <Empty title="No samples yet">
        The model answers a few held-out examples before training and after each evaluation.
      </Empty>
    );
  }
  const right = (at: number) => samples.filter((each) => agrees(answerAt(each, at), each)).length;
  return (
    <div className="stack">
      <div className={css.steps}>
        <StepSlider steps={steps} step={step} choose={setChosen} />
        <p role="status">
          Right before: <strong>{count(right(steps[0] ?? 0))}</strong>, at step {count(step)}
          {step === best && " (the best evaluation)"}: <strong>{count(right(step))}</strong> of{" "}
          {count(samples.length)}
        </p>
      </div>
      <ul className={css.samples}>
        {samples.map((sample) => (
          <SampleCard key={sample.example} sample={sample} first={steps[0] ?? 0} step={step} />
        ))}
      </ul>
    </div>
  );
}

interface StepSliderProps {
  steps: readonly number[];
  step: number;
  choose: (step: number | undefined) => void;
}

/** Moves through the evaluations; at its end it stays with the newest. */
function StepSlider({ steps, step, choose }: StepSliderProps) {
  if (steps.length < 2) return null;
  const last = steps.length - 1;
  return (
    <label className={css.slider}>
      Answers at step
      <input
        type="range"
        min={0}
        max={last}
        value={steps.indexOf(step)}
        aria-valuetext={`step ${step}`}
        onChange={({ currentTarget: { value } }) =>
          choose(Number(value) === last ? undefined : steps[Number(value)])
        }
      />
      <output>{count(step)}</output>
    </label>
  );
}

function SampleCard({ sample, first, step }: { sample: Sample; first: number; step: number }) {
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
          <Answer sample={sample} text={answerAt(sample, first)} />
          <dt>at step {count(step)}</dt>
          <Answer sample={sample} text={answerAt(sample, step)} />
        </dl>
      </div>
    </li>
  );
}

function Answer({ sample, text }: { sample: Sample; text: string | undefined }) {
  if (text === undefined) return <dd className="muted">–</dd>;
  const right = agrees(text, sample);
  return (
    <dd className={right ? css.right : css.wrong}>
      {text || "(nothing)"}
      <span className="visually-hidden">{right ? " (right)" : " (not as expected)"}</span>
    </dd>
  );
}
