/** A folder as one .tar, without reading it: the archive is a Blob that refers to the files, so its slices are read from disk. */

/** A file below the folder. */
export interface Member {
  /** With `/` between folders, without the folder's own name. */
  path: string;
  file: File;
}

const BLOCK = 512;
const NAME_BYTES = 100;

/** Members in order of their paths and without dates: the same files give the same bytes, so an upload can go on. */
export function tarOf(members: readonly Member[], name: string): File {
  const sorted = [...members].sort((a, b) => (a.path < b.path ? -1 : 1));
  const parts = sorted.flatMap(({ path, file }) => [...headers(path, file.size), file, padding(file.size)]);
  return new File([...parts, new Uint8Array(2 * BLOCK)], name, { type: "application/x-tar" });
}

/** A PAX record goes before a member whose path does not fit into the old field. */
function headers(path: string, size: number): Uint8Array<ArrayBuffer>[] {
  const plain = new TextEncoder().encode(path);
  if (plain.length <= NAME_BYTES && plain.length === path.length) return [header(plain, size, "0")];
  const record = paxRecord("path", path);
  return [
    header(new TextEncoder().encode("PaxHeader"), record.length, "x"),
    record,
    padding(record.length),
    header(plain.slice(0, NAME_BYTES), size, "0"),
  ];
}

/** `29 path=…\n`, where the number counts itself. */
function paxRecord(key: string, value: string): Uint8Array<ArrayBuffer> {
  const rest = new TextEncoder().encode(` ${key}=${value}\n`);
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return new TextEncoder().encode(`${length} ${key}=${value}\n`);
}

function header(name: Uint8Array, size: number, type: "0" | "x"): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK);
  const write = (at: number, text: string) => block.set(new TextEncoder().encode(text), at);
  block.set(name, 0);
  write(100, "0000644\0");
  write(108, "0000000\0");
  write(116, "0000000\0");
  write(124, `${size.toString(8).padStart(11, "0")}\0`);
  write(136, "00000000000\0");
  write(148, " ".repeat(8));
  write(156, type);
  write(257, "ustar\x0000");
  const sum = block.reduce((total, byte) => total + byte, 0);
  write(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

function padding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}
