/** Reads text/event-stream as the HTML standard defines it (section 9.2.6). EventSource itself cannot send a key. */

export interface ServerEvent {
  /** `message` unless the server named it. */
  type: string;
  /** The `id:` last seen, to resume from. */
  id: string;
  data: string;
}

/** Takes text in pieces of any size and yields the events that are complete. */
export class EventParser {
  private rest = "";
  private type = "";
  private id = "";
  private data: string[] = [];

  *feed(text: string): Generator<ServerEvent> {
    this.rest += text;
    // A trailing CR may be the first half of CRLF, so it waits for what follows.
    for (let match; (match = /\r\n|\n|\r(?=[^])/.exec(this.rest)) !== null;) {
      const line = this.rest.slice(0, match.index);
      this.rest = this.rest.slice(match.index + match[0].length);
      const event = this.line(line);
      if (event) yield event;
    }
  }

  private line(line: string): ServerEvent | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.type = value;
    else if (field === "id") this.id = value;
    return undefined;
  }

  private dispatch(): ServerEvent | undefined {
    const event = { type: this.type || "message", id: this.id, data: this.data.join("\n") };
    const empty = this.data.length === 0 && this.type === "";
    this.type = "";
    this.data = [];
    return empty ? undefined : event;
  }
}
