/** A project's limits and what it keeps, as rows. Pure. */
import type { Garbage, Quota, StorageEgress, StorageUsage } from "../api/types";
import { bytes, count, int } from "./format";

export interface LimitRow {
  name: string;
  used: number;
  /** Absent where there is none. */
  limit: number | undefined;
  shown: string;
}

export function limitRows(quota: Quota): LimitRow[] {
  const stored = int(quota.usedBytes) + int(quota.reservedBytes);
  return [
    row("Bytes", stored, quota.limitBytes, bytes),
    row("Objects", int(quota.objectCount), quota.limitObjects, count),
    row("Uploads under way", int(quota.pendingUploadCount), quota.limitPendingUploads, count),
  ];
}

function row(
  name: string,
  used: number,
  limit: string | undefined,
  write: (value: number) => string,
): LimitRow {
  const most = limit === undefined ? undefined : int(limit);
  return {
    name,
    used,
    limit: most,
    shown: most === undefined ? write(used) : `${write(used)} of ${write(most)}`,
  };
}

/** `full` from the limit on, `near` from 80 % on. */
export function standingOf({ used, limit }: LimitRow): "fine" | "near" | "full" {
  if (limit === undefined) return "fine";
  if (used >= limit) return "full";
  return used >= 0.8 * limit ? "near" : "fine";
}

export interface DayRow {
  /** When the day began. */
  start: string;
  sizeBytes: number;
}

/** What was sent, day by day. */
export function sentRows(days: NonNullable<StorageEgress["days"]>): DayRow[] {
  return days.map(({ startTime = "", sentBytes }) => ({ start: startTime, sizeBytes: int(sentBytes) }));
}

/** All kinds of owners of a day together, oldest first. */
export function dayRows(days: NonNullable<StorageUsage["days"]>): DayRow[] {
  const sums = new Map<string, number>();
  for (const { startTime = "", sizeBytes } of days)
    sums.set(startTime, (sums.get(startTime) ?? 0) + int(sizeBytes));
  return [...sums].map(([start, size]) => ({ start, sizeBytes: size }));
}

export interface GarbageRow {
  name: string;
  count: number;
  sizeBytes: number;
}

/** What a collection removed or found, by kind; what is missing is no garbage, and only shown where there is some. */
export function garbageRows(found: Garbage = {}): GarbageRow[] {
  const rows = [
    ["Uploads that expired", found.expiredUploads],
    ["Deleted, past the time to take it back", found.purgedObjects],
    ["Bytes that belong to nothing", found.orphans],
    ["The same, too young to be removed", found.youngOrphans],
    ["Objects whose bytes are missing", found.missing],
  ] as const;
  return rows
    .map(([name, sum]) => ({ name, count: int(sum?.count), sizeBytes: int(sum?.sizeBytes) }))
    .filter((row) => row.count > 0 || row.name !== "Objects whose bytes are missing");
}
