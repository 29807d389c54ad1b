import { expect, test } from "vitest";
import { dayRows, garbageRows, limitRows, standingOf } from "./quota";

test("what is reserved counts as used", () => {
  const [first] = limitRows({ usedBytes: "1024", reservedBytes: "1024", limitBytes: "4096" });
  expect(first).toMatchObject({ used: 2048, limit: 4096, shown: "2 KiB of 4 KiB" });
});

test("without a limit there is only the use", () => {
  const rows = limitRows({ objectCount: "1200" });
  expect(rows[1]?.shown).toBe("1,200");
  expect(rows[1] && standingOf(rows[1])).toBe("fine");
});

test("a limit is near from 80 % on", () => {
  const at = (used: number) => standingOf({ name: "", used, limit: 10, shown: "" });
  expect([7, 8, 10, 11].map(at)).toEqual(["fine", "near", "full", "full"]);
});

test("a day is the sum of its kinds", () => {
  const rows = dayRows([
    { startTime: "2026-01-01", sizeBytes: "1" },
    { startTime: "2026-01-01", sizeBytes: "2" },
    { startTime: "2026-01-02", sizeBytes: "4" },
  ]);
  expect(rows.map(({ sizeBytes }) => sizeBytes)).toEqual([3, 4]);
});

test("what is missing is told only where something is", () => {
  const one = { count: "1", sizeBytes: "5" };
  expect(
    garbageRows({ orphans: one })
      .filter((row) => row.count)
      .map(({ name }) => name),
  ).toEqual(["Bytes that belong to nothing"]);
  expect(garbageRows({ orphans: one })).toHaveLength(4);
  expect(garbageRows({ missing: one }).at(-1)).toEqual({
    name: "Objects whose bytes are missing",
    count: 1,
    sizeBytes: 5,
  });
});
