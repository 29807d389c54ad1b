/** What a model said about held-out examples, step by step. Pure. */
import type { Sample } from "../api/types";
import { int } from "./format";

interface Answer {
  step: number;
  text: string;
}

/** Steps at which any of the examples was answered, in order. */
export function stepsOf(samples: readonly Sample[]): number[] {
  return [...new Set(samples.flatMap((sample) => answersOf(sample).map(({ step }) => step)))].sort(
    (a, b) => a - b,
  );
}

/** The newest answer at a step; `undefined` when there was none yet. */
export function answerAt(sample: Sample, step: number): string | undefined {
  return answersOf(sample).findLast((answer) => answer.step <= step)?.text;
}

/** All answers in order of step; those of jobs that kept no others are the first and the last one. */
function answersOf({ answers = [], before, after, afterStep }: Sample): Answer[] {
  if (answers.length > 0) return answers.map(({ step, text = "" }) => ({ step: int(step), text }));
  return [
    ...(before === undefined ? [] : [{ step: 0, text: before }]),
    ...(after === undefined ? [] : [{ step: int(afterStep), text: after }]),
  ];
}

/** Whether an answer is the one in the data, but for white space around it. */
export function agrees(answer: string | undefined, sample: Sample): boolean {
  return answer?.trim() === (sample.expected ?? "").trim();
}
