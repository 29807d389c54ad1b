import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { importFiles, type Started } from "./upload";

// What only a browser has: a worker that hashes, and XMLHttpRequest.
vi.mock("./hash", () => ({ sha256Of: () => Promise.resolve("0".repeat(64)) }));
vi.mock("./put", () => ({ putParts: () => Promise.resolve(), PutFailed: class extends Error {} }));

const UPLOAD = { name: "projects/p/uploads/u", partSizeBytes: "9", partUrls: [{ url: "http://s3/1" }] };
const LATE = { status: 504, body: { code: 4, message: "The deadline passed." } };
const AWAY = { status: 503, body: { code: 14, message: "The storage service cannot be reached." } };
const WRONG = { status: 400, body: { code: 15, message: "The bytes are not what was declared." } };
const DONE = { status: 200, body: UPLOAD };

let calls: { path: string; requestId: string | undefined }[];
let found: object;
let completions: { status: number; body: unknown }[];

const countOf = (end: string) => calls.filter(({ path }) => path.endsWith(end)).length;

/** The last one stays. */
const nextCompletion = () => (completions.length > 1 ? completions.shift() : completions[0]) ?? DONE;

beforeEach(() => {
  calls = [];
  vi.useFakeTimers();
  vi.stubGlobal("sessionStorage", { getItem: () => "key" });
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    const body = JSON.parse((init.body as string | null) ?? "{}") as { requestId?: string };
    calls.push({ path, requestId: body.requestId });
    init.signal?.throwIfAborted();
    if (path.endsWith(UPLOAD.name)) return Promise.resolve(Response.json(found));
    const answer = path.endsWith(":complete") ? nextCompletion() : DONE;
    return Promise.resolve(Response.json(answer.body, { status: answer.status }));
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function send(signal = new AbortController().signal, started?: Started) {
  const file = new File(["123456789"], "a.tar.gz");
  const sent = importFiles(
    { project: "projects/p", datasetId: "d", files: [{ file, started }], choices: {} as never },
    { onProgress: () => {}, onStarted: () => {} },
    signal,
  );
  return Promise.allSettled([sent]).then(([outcome]) => outcome);
}

test("completing is asked for again, as the same request, while the server reads", async () => {
  completions = [LATE, AWAY, LATE, DONE];
  const sent = send();
  await vi.advanceTimersByTimeAsync(5_000);
  expect((await sent).status).toBe("fulfilled");
  const ids = calls.filter(({ path }) => path.endsWith(":complete")).map(({ requestId }) => requestId);
  expect(ids).toHaveLength(4);
  expect(new Set(ids).size).toBe(1);
  expect(countOf(":abort")).toBe(0);
});

test("a server that stays slow is given up, and the upload left to it", async () => {
  completions = [LATE];
  const sent = send();
  await vi.advanceTimersByTimeAsync(590_000);
  expect(countOf(":complete")).toBeGreaterThan(500);
  await vi.advanceTimersByTimeAsync(20_000);
  expect((await sent).status).toBe("rejected");
  expect(countOf(":abort")).toBe(0);
});

test("bytes that are wrong give the reservation back at once", async () => {
  completions = [WRONG];
  expect((await send()).status).toBe("rejected");
  expect([countOf(":complete"), countOf(":abort")]).toEqual([1, 1]);
});

test("a user who cancels while the server reads gives the reservation back", async () => {
  completions = [LATE];
  const controller = new AbortController();
  const sent = send(controller.signal);
  await vi.advanceTimersByTimeAsync(3_500);
  controller.abort();
  await vi.advanceTimersByTimeAsync(1_000);
  expect((await sent).status).toBe("rejected");
  expect(countOf(":abort")).toBe(1);
});

const STARTED: Started = { sha256: "0".repeat(64), upload: UPLOAD.name };

test("an upload that still takes bytes is gone on with, and none is made beside it", async () => {
  completions = [DONE];
  found = { ...UPLOAD, state: "STATE_PENDING" };
  expect((await send(undefined, STARTED)).status).toBe("fulfilled");
  expect(calls.filter(({ path }) => path.includes("/uploads?requestId="))).toHaveLength(0);
});

test("an upload that has expired meanwhile is begun anew", async () => {
  completions = [DONE];
  found = { ...UPLOAD, state: "STATE_EXPIRED" };
  expect((await send(undefined, STARTED)).status).toBe("fulfilled");
  expect(calls.filter(({ path }) => path.includes("/uploads?requestId="))).toHaveLength(1);
});
