import { expect, test } from "vitest";
import { agrees, answerAt, stepsOf } from "./samples";

const SAMPLE = {
  expected: "7 ",
  before: "?",
  after: "7",
  afterStep: "20",
  answers: [{ text: "?" }, { step: "10", text: "1" }, { step: "20", text: "7" }],
};

test("at each step the newest answer stands", () => {
  expect(stepsOf([SAMPLE, { answers: [{ step: "15", text: "a" }] }])).toEqual([0, 10, 15, 20]);
  expect([0, 10, 15, 20].map((step) => answerAt(SAMPLE, step))).toEqual(["?", "1", "1", "7"]);
  expect(answerAt({ answers: [{ step: "15", text: "a" }] }, 10)).toBeUndefined();
});

test("a job that kept no steps has a first and a last answer", () => {
  const old = { ...SAMPLE, answers: [] };
  expect(stepsOf([old])).toEqual([0, 20]);
  expect(answerAt(old, 19)).toBe("?");
  expect(stepsOf([{ expected: "7" }])).toEqual([]);
});

test("white space around an answer does not count", () => {
  expect([agrees("7", SAMPLE), agrees("1", SAMPLE), agrees(undefined, { expected: "" })]).toEqual([
    true,
    false,
    false,
  ]);
});
