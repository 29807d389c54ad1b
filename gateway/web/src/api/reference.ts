/** The OpenAPI document of the server. It needs no key. */
import { queryOptions } from "@tanstack/react-query";
import type { Document } from "../lib/openapi";

export const openapiQuery = queryOptions({
  queryKey: ["openapi"],
  queryFn: async ({ signal }) => {
    const response = await fetch("/openapi.json", { signal });
    if (!response.ok) throw new Error(`/openapi.json answered ${response.status}.`);
    return (await response.json()) as Document;
  },
  staleTime: Infinity,
});
