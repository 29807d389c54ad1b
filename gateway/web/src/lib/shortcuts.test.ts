import { expect, test } from "vitest";
import { actionOf, SHORTCUTS, shortcutGroups } from "./shortcuts";

test("no two keys of one place collide, nor with those of everywhere", () => {
  const rows = Object.values(SHORTCUTS);
  const everywhere = rows.filter((row) => row.where === "Everywhere");
  for (const [where, group] of shortcutGroups()) {
    const keys = [...group, ...(where === "Everywhere" ? [] : everywhere)].map((row) => row.key);
    expect(new Set(keys).size, where).toBe(keys.length);
  }
});

test("a key finds the action that is bound here", () => {
  const next = () => {};
  expect(actionOf("ArrowRight", { next })).toBe(next);
  expect(actionOf("x", { next })).toBeUndefined();
});
