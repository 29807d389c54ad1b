import { expect, test } from "vitest";
import * as format from "./format";
import { ID_PATTERN, idFromFilename, requestId } from "./ids";
import { datasetOf, idOf, pages, versionOf } from "./names";

test("sizes use binary units", () => {
  expect(format.bytes("0")).toBe("0 B");
  expect(format.bytes(1536)).toBe("1.5 KiB");
  expect(format.bytes("10737418240")).toBe("10 GiB");
});

test("an absent number is zero, as proto3 JSON means it", () => {
  expect(format.count(undefined)).toBe("0");
  expect(format.counted("1", "image")).toBe("1 image");
  expect(format.counted("1797", "image")).toBe("1,797 images");
});

test("measures keep four digits", () => {
  expect(format.measure(3.41234)).toBe("3.412");
  expect(format.measure(0.001)).toBe("0.001");
  expect(format.measure(1.2e-7)).toBe("1.2e-7");
  expect(format.measure(12_340.4)).toBe("12,340");
  expect(format.measure(undefined)).toBe("–");
});

test("durations have at most two units", () => {
  expect(format.duration(0.2)).toBe("0 s");
  expect(format.duration(200)).toBe("3 min 20 s");
  expect(format.duration(7500)).toBe("2 h 5 min");
  expect(format.duration(3600)).toBe("1 h");
  expect(format.durationSeconds("12.5s")).toBe(12.5);
});

test("enum values become words", () => {
  expect(format.enumLabel("STATE_RUNNING", "STATE_")).toBe("Running");
  expect(format.enumLabel("EXAMPLE_KIND_CHAT_WITH_IMAGES", "EXAMPLE_KIND_")).toBe("Chat with images");
  expect(format.enumLabel("METHOD_QLORA", "METHOD_")).toBe("QLoRA");
  expect(format.enumLabel("OPTIMISER_ADAMW_8BIT", "OPTIMISER_")).toBe("AdamW 8 bit");
  expect(format.enumLabel(undefined, "METHOD_")).toBe("");
});

test("an id made from a filename is one that the server accepts, or empty", () => {
  expect(idFromFilename("My Digits (2).tar.gz")).toBe("my-digits-2");
  expect(idFromFilename("2024_scans.zip")).toBe("scans");
  expect(idFromFilename("train.jsonl")).toBe("train");
  expect(idFromFilename("数据.zip")).toBe("");
  expect(idFromFilename(`${"x".repeat(62)}-y.tar`)).toMatch(ID_PATTERN);
});

test("request ids are UUID4", () => {
  expect(requestId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("names lead to pages", () => {
  const version = "projects/p/datasets/digits/versions/v3";
  expect(idOf(version, "versions")).toBe("v3");
  expect(datasetOf(version)).toBe("projects/p/datasets/digits");
  expect(versionOf(`${version}/examples/7`)).toBe(version);
  expect(pages.version(version)).toBe("/datasets/digits/versions/v3");
  expect(pages.newJob(version)).toBe("/jobs/new?version=projects%2Fp%2Fdatasets%2Fdigits%2Fversions%2Fv3");
});
