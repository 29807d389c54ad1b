import { expect, test } from "vitest";
import { EVERYTHING, filterOf, narrows, paramsOf, quoted, viewOf, wholeFilterOf, type View } from "./view";

const VIEW: View = {
  split: "train",
  query: "a cat",
  problem: "image-small",
  duplicates: true,
  filter: "width > 1 OR height > 1",
  draft: "abc",
};

test("an address gives back the view that it was made of", () => {
  expect(viewOf(paramsOf(VIEW))).toEqual(VIEW);
  expect(viewOf(paramsOf(EVERYTHING))).toEqual(EVERYTHING);
  expect(paramsOf(EVERYTHING).toString()).toBe("");
});

test("conditions are joined, and a written one keeps to itself", () => {
  expect(filterOf(VIEW)).toBe('problem = "image-small" AND duplicate = true AND (width > 1 OR height > 1)');
  expect(filterOf({ ...EVERYTHING, filter: "  " })).toBe("");
});

test("a filter can hold for all that a view is narrowed by", () => {
  expect(wholeFilterOf(VIEW)).toBe(
    'split = "train" AND text:"a cat" AND problem = "image-small" AND duplicate = true AND (width > 1 OR height > 1)',
  );
  expect(wholeFilterOf({ ...EVERYTHING, query: "x" })).toBe('text:"x"');
});

test("a split alone narrows nothing that counts do not know already", () => {
  expect(narrows({ ...EVERYTHING, split: "train" })).toBe(false);
  expect(narrows({ ...EVERYTHING, query: "x" })).toBe(true);
});

test("quotes and backslashes of a value are escaped", () => {
  expect(quoted('say "\\"')).toBe('"say \\"\\\\\\""');
});
