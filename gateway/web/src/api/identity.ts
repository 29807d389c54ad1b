/** IdentityService: who is calling. */
import { queryOptions } from "@tanstack/react-query";
import { json } from "./http";
import type { Caller } from "./types";

/** Tells whom a key belongs to; throws ApiError UNAUTHENTICATED for a key that is not one. */
export function getCaller(key?: string): Promise<Caller> {
  return json<Caller>("caller", key === undefined ? {} : { key });
}

export const callerQuery = queryOptions({
  queryKey: ["caller"],
  queryFn: () => getCaller(),
  staleTime: Infinity,
});
