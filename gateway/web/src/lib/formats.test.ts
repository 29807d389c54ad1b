import { expect, test } from "vitest";
import { formatsFor, switchedOff } from "./formats";

test("a format fits when it has a place for every kind of the version", () => {
  const formats = [
    { format: "chat", kinds: ["EXAMPLE_KIND_CHAT" as const] },
    { format: "both", kinds: ["EXAMPLE_KIND_CHAT" as const, "EXAMPLE_KIND_CHAT_WITH_IMAGES" as const] },
  ];
  const version = { kinds: ["EXAMPLE_KIND_CHAT" as const, "EXAMPLE_KIND_CHAT_WITH_IMAGES" as const] };
  expect(formatsFor(version, formats)).toEqual(["both", "webdataset"]);
});

test("webdataset has a place for all but retrieval and preferences", () => {
  expect(formatsFor({ kinds: ["EXAMPLE_KIND_RETRIEVAL"] }, [])).toEqual([]);
  expect(formatsFor({ kinds: ["EXAMPLE_KIND_PREFERENCE"] }, [])).toEqual([]);
});

test("one reason stands for all that are switched off", () => {
  const rows = ["clip", "chat", "llava", "openai"].map((name) => ({
    name,
    reason: name === "chat" ? "" : `"${name}" has images.`,
  }));
  expect(switchedOff(rows)).toBe('"clip" has images. Likewise llava, openai.');
  expect(switchedOff(rows.slice(0, 2))).toBe('"clip" has images.');
  expect(switchedOff(rows.slice(1, 2))).toBe("");
});
