import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tarOf, type Member } from "./tar";

const member = (path: string, text: string): Member => ({ path, file: new File([text], "any") });
const bytes = async (file: Blob) => Buffer.from(await file.arrayBuffer());

test("the system's tar unpacks what was packed, long and foreign names included", async () => {
  const long = `${"folder/".repeat(20)}a.txt`;
  const members = [member("b.txt", "b".repeat(512)), member(long, "long"), member("café/ü.txt", "")];
  const folder = mkdtempSync(join(tmpdir(), "tar-"));
  writeFileSync(join(folder, "x.tar"), await bytes(tarOf(members, "x.tar")));
  execFileSync("tar", ["-xf", "x.tar"], { cwd: folder });
  expect(readFileSync(join(folder, "b.txt"), "utf8")).toBe("b".repeat(512));
  expect(readFileSync(join(folder, long), "utf8")).toBe("long");
  expect(readFileSync(join(folder, "café/ü.txt"), "utf8")).toBe("");
});

test("the same files give the same bytes, in whatever order they were found", async () => {
  const one = tarOf([member("a", "1"), member("b", "2")], "x.tar");
  const other = tarOf([member("b", "2"), member("a", "1")], "x.tar");
  expect(await bytes(one)).toEqual(await bytes(other));
});
