/** What a person chose to import: a file as it is, or a folder as the .tar that it becomes. */
import { tarOf, type Member } from "../lib/tar";

export interface Source {
  file: File;
  /** Tells whether a file that is chosen again, after a reload, is the same: names, sizes and dates of change. */
  identity: string;
}

export function sourceOfFile(file: File): Source {
  return { file, identity: describe(file.name, file) };
}

/** `undefined` for a folder without files. */
export function sourceOfFolder(name: string, members: readonly Member[]): Source | undefined {
  if (members.length === 0) return undefined;
  const lines = members.map(({ path, file }) => describe(path, file)).sort();
  return { file: tarOf(members, `${name}.tar`), identity: lines.join("\n") };
}

/** What `<input webkitdirectory>` gave. */
export function sourceOfDirectoryInput(files: readonly File[]): Source | undefined {
  const root = files[0]?.webkitRelativePath.split("/")[0] ?? "";
  const members = files.map((file) => ({ path: file.webkitRelativePath.slice(root.length + 1), file }));
  return sourceOfFolder(root, members);
}

/** What was dropped: files and folders, as one source each. The event must still be under way when this is called. */
export async function sourcesOfDrop(transfer: DataTransfer): Promise<Source[]> {
  const entries = Array.from(transfer.items).flatMap((item) => item.webkitGetAsEntry() ?? []);
  const plain = Array.from(transfer.files);
  // A file that another page or a script hands over is no entry of a file system.
  if (entries.length === 0) return plain.map(sourceOfFile);
  const found = await Promise.all(entries.map(sourceOfEntry));
  return found.flatMap((source) => source ?? []);
}

async function sourceOfEntry(entry: FileSystemEntry): Promise<Source | undefined> {
  if (isDirectory(entry)) return sourceOfFolder(entry.name, await membersOf(entry, ""));
  return sourceOfFile(await fileOf(entry as FileSystemFileEntry));
}

async function membersOf(folder: FileSystemDirectoryEntry, prefix: string): Promise<Member[]> {
  const found: Member[] = [];
  for (const entry of await entriesOf(folder)) {
    const path = `${prefix}${entry.name}`;
    if (isDirectory(entry)) found.push(...(await membersOf(entry, `${path}/`)));
    else found.push({ path, file: await fileOf(entry as FileSystemFileEntry) });
  }
  return found;
}

/** A reader gives a folder in pieces, and an empty piece at the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const piece = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (piece.length === 0) return found;
    found.push(...piece);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((done, fail) => entry.file(done, fail));
}

function isDirectory(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

function describe(path: string, file: File): string {
  return `${path} ${file.size} ${file.lastModified}`;
}
