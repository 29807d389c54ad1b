import { expect, test } from "vitest";
import type { TrainingJob } from "../api/types";
import { bestOf, chartsOf, headline, inOrder } from "./metrics";

const job = (best?: object): TrainingJob => ({ spec: { baseModel: {} }, progress: { best } }) as TrainingJob;

test("the best evaluation says where it was, and how long ago", () => {
  expect(bestOf(job())).toBeUndefined();
  const best = { step: "1200", metric: "rouge_l", value: 0.5 };
  expect(bestOf(job(best))).toBe("ROUGE-L 50 % at step 1,200");
  expect(bestOf(job({ ...best, evaluationsWithoutProgress: 1 }))).toMatch(/, 1 evaluation since without/);
});

test("long answers have their own headline", () => {
  expect(headline({ loss: 1, rouge_l: 0.25, token_accuracy: 0.5 })).toBe("25 %");
});

test("a job has the charts of what it measured, and before that those that most will have", () => {
  const titles = (...measured: string[]) => chartsOf(new Set(measured)).map(({ title }) => title);
  expect(titles()).toEqual(["Loss", "Held-out accuracy"]);
  expect(titles("loss", "grad_norm")).toEqual(["Loss", "Held-out accuracy", "Gradient norm"]);
  expect(titles("loss", "eval_loss", "eval_recall_at_1")).toEqual(["Loss", "Held-out recall"]);
});

test("metrics are told in an order that people expect", () => {
  expect(inOrder(["mlm_loss", "recall_at_10", "loss", "recall_at_5", "recall_at_1", "recall_at_1"])).toEqual([
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "loss",
    "mlm_loss",
  ]);
});
