import { expect, test } from "vitest";
import { kindsOf, whyNot } from "./families";

const CLIP = { family: "clip", takes: ["CAPTIONED_IMAGE"] };

test("a family takes data all of whose kinds it knows", () => {
  expect(whyNot(CLIP, kindsOf({ kinds: ["EXAMPLE_KIND_CAPTIONED_IMAGE"] }))).toBe("");
  expect(whyNot(CLIP, ["CAPTIONED_IMAGE", "CHAT_WITH_IMAGES"])).toBe(
    "Takes images with captions; this data has conversations with images.",
  );
});

test("what is not known is left to the server", () => {
  expect(whyNot(undefined, ["CHAT"])).toBe("");
  expect(whyNot(CLIP, kindsOf(undefined))).toBe("");
});

test("what the operator has switched off says so first", () => {
  expect(whyNot({ ...CLIP, unavailableReason: "Switched off." }, ["CAPTIONED_IMAGE"])).toBe("Switched off.");
});
