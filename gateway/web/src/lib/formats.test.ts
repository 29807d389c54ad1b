import { expect, test } from "vitest";
import { formatsFor } from "./formats";

test("a format fits when it has a place for every kind of the version", () => {
  const formats = [
    { format: "chat", kinds: ["EXAMPLE_KIND_CHAT" as const] },
    { format: "both", kinds: ["EXAMPLE_KIND_CHAT" as const, "EXAMPLE_KIND_CHAT_WITH_IMAGES" as const] },
  ];
  const version = { kinds: ["EXAMPLE_KIND_CHAT" as const, "EXAMPLE_KIND_CHAT_WITH_IMAGES" as const] };
  expect(formatsFor(version, formats)).toEqual(["both", "webdataset"]);
});

test("webdataset has a place for all but retrieval", () => {
  expect(formatsFor({ kinds: ["EXAMPLE_KIND_RETRIEVAL"] }, [])).toEqual([]);
});
