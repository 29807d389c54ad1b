import { expect, test } from "vitest";
import type { TrainingJob } from "../api/types";
import { bestOf, headline } from "./metrics";

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
