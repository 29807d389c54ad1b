import { expect, test } from "vitest";
import { EventParser } from "./sse";

const STREAM =
  'retry: 3000\n\n: heartbeat\n\nid: 7\nevent: message\ndata: {"a":\ndata: 1}\n\nid: 8\r\ndata: x\r\n\r\nevent: done\ndata:\n\n';

const EVENTS = [
  { type: "message", id: "7", data: '{"a":\n1}' },
  { type: "message", id: "8", data: "x" },
  { type: "done", id: "8", data: "" },
];

test("events come out whole, comments do not", () => {
  expect([...new EventParser().feed(STREAM)]).toEqual(EVENTS);
});

test("where the network cuts the stream makes no difference", () => {
  for (let size = 1; size < 20; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < STREAM.length; at += size) events.push(...parser.feed(STREAM.slice(at, at + size)));
    expect(events, `pieces of ${size}`).toEqual(EVENTS);
  }
});

test("an event that is cut off is not delivered", () => {
  expect([...new EventParser().feed("id: 9\ndata: half")]).toEqual([]);
});
