/** Numbers, sizes and times as people read them. Everything here takes what proto3 JSON gives: absent means zero. */

type Int64 = string | number | undefined;

/** An int64 of the API, which JSON carries as text. */
export function int(value: Int64): number {
  return Number(value ?? 0);
}

const WHOLE = new Intl.NumberFormat("en");
const ONE_DIGIT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** `1797` → `1,797`. */
export function count(value: Int64): string {
  return WHOLE.format(int(value));
}

/** `1 image`, `2 images`. */
export function counted(value: Int64, one: string, many = `${one}s`): string {
  return `${count(value)} ${int(value) === 1 ? one : many}`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `1536` → `1.5 KiB`. */
export function bytes(value: Int64): string {
  let size = int(value);
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${ONE_DIGIT.format(size)} ${UNITS[unit] ?? ""}`;
}

/** A measured value in about four significant digits: `0.0012`, `3.412`, `12,340`, `1.2e-7`. */
export function measure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.0001) return value.toExponential(1);
  if (size >= 10_000) return WHOLE.format(Math.round(value));
  return Number(value.toPrecision(4)).toString();
}

/** `0.9139` → `91.4 %`. */
export function percent(value: number | undefined): string {
  return value === undefined ? "–" : `${ONE_DIGIT.format(value * 100)} %`;
}

/** Seconds → `8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const steps: [number, string][] = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = steps.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  const parts: string[] = [];
  let rest = whole;
  for (const [size, unit] of steps.slice(first, first + 2)) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${unit}`);
  }
  return parts.join(" ");
}

/** A protobuf Duration in JSON (`"12.5s"`) as seconds. */
export function durationSeconds(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number.parseFloat(text);
}

/** Seconds between two timestamps of the API; `undefined` when one is absent. */
export function secondsBetween(start: string | undefined, end: string | undefined): number | undefined {
  return start === undefined || end === undefined ? undefined : (Date.parse(end) - Date.parse(start)) / 1000;
}

/** `just now`, `5 min ago`, `3 d 4 h ago`. */
export function ago(time: string | undefined, now: number): string {
  if (time === undefined) return "–";
  const seconds = (now - Date.parse(time)) / 1000;
  return seconds < 10 ? "just now" : `${duration(seconds)} ago`;
}

const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** Date and time of day in the reader's time zone. */
export function moment(time: string | undefined): string {
  return time === undefined ? "–" : MOMENT.format(new Date(time));
}

/** Time of day alone, for lines of a log. */
export function clock(time: string | undefined): string {
  return time === undefined ? "" : CLOCK.format(new Date(time));
}

/** `sha256:0123456789abcdef…` → `0123456789ab`. */
export function shortDigest(digest: string | undefined): string {
  return (digest ?? "").replace(/^sha256:/, "").slice(0, 12);
}

/** Names that are written as their makers write them. */
const WRITTEN: Readonly<Record<string, string>> = {
  lora: "LoRA",
  qlora: "QLoRA",
  fp32: "fp32",
  bf16: "bf16",
  fp16: "fp16",
  nf4: "NF4",
  int8: "INT8",
  adamw: "AdamW",
  "8bit": "8 bit",
  lm: "LM",
};

/** `STATE_RUNNING` with prefix `STATE_` → `Running`. */
export function enumLabel(value: string | undefined, prefix: string): string {
  const [first = "", ...others] = (value ?? "").replace(prefix, "").toLowerCase().split("_");
  const begun = WRITTEN[first] ?? first.charAt(0).toUpperCase() + first.slice(1);
  return [begun, ...others.map((word) => WRITTEN[word] ?? word)].join(" ");
}

/** JSON text with line breaks; as it is when it is not JSON. */
export function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
