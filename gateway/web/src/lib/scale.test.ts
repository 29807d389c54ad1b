import { expect, test } from "vitest";
import { extent, linear, nearest, rounded, ticks } from "./scale";

test("ticks are round and inside the range", () => {
  expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(0, 607, 6)).toEqual([0, 200, 400, 600]);
  expect(ticks(0.113, 0.127, 3)).toEqual([0.115, 0.12, 0.125]);
  expect(ticks(4, 4, 3)).toEqual([4]);
});

test("a range is widened to round numbers, and one that is round stays", () => {
  expect(rounded([0.31, 4.17], 4)).toEqual([0, 5]);
  expect(rounded([0, 1], 4)).toEqual([0, 1]);
  expect(rounded([0.0019, 0.002], 4)).toEqual([0.0019, 0.002]);
});

test("an extent is never empty", () => {
  expect(extent([])).toEqual([0, 1]);
  expect(extent([3])).toEqual([2.5, 3.5]);
  expect(extent([0, 0])).toEqual([0, 1]);
  expect(extent([3, -1, 2])).toEqual([-1, 3]);
});

test("the linear map turns the y axis upside down when asked", () => {
  const y = linear(0, 10, 100, 0);
  expect([y(0), y(5), y(10)]).toEqual([100, 50, 0]);
});

test("nearest finds the closer neighbour", () => {
  expect(nearest([], 1)).toBe(-1);
  expect(nearest([0, 10, 20], 4)).toBe(0);
  expect(nearest([0, 10, 20], 6)).toBe(1);
  expect(nearest([0, 10, 20], 99)).toBe(2);
});
