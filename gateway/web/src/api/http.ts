/** The one place that calls fetch: adds the key, reads errors, notices when nobody answers. */
import { apiKey, endSession } from "../session/key";
import { ApiError, Code, fromStatus, type Status } from "./errors";
import { setReachable } from "./reachable";

const UNREACHABLE = "No answer from the server. Is it running? `visiontune status` tells.";

export type Query = Record<string, string | number | boolean | undefined>;

interface Call {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** The key to use instead of the session's: sign-in tries a key before it keeps it. */
  key?: string;
}

/** `/v1/…` with a query; parameters that are undefined, empty or false are left out. */
export function url(path: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "" && value !== false) params.set(name, String(value));
  }
  const text = params.toString();
  return `/v1/${path}${text && `?${text}`}`;
}

/** Sends the call; throws ApiError for anything but a 2xx answer. */
export async function send(path: string, call: Call = {}): Promise<Response> {
  const key = call.key ?? apiKey();
  const headers: Record<string, string> = { ...call.headers };
  if (key) headers["Authorization"] = `Bearer ${key}`;
  if (call.body !== undefined) headers["Content-Type"] = "application/json";
  const response = await reach(url(path, call.query), {
    method: call.method ?? "GET",
    headers,
    body: call.body === undefined ? null : JSON.stringify(call.body),
    signal: call.signal ?? null,
  });
  if (response.ok) return response;
  const error = await readError(response);
  if (error.code === Code.UNAUTHENTICATED && call.key === undefined) endSession(error.message);
  throw error;
}

/** Sends the call and reads its JSON answer. The caller names the type that the contract gives it. */
export async function json<Answer>(path: string, call: Call = {}): Promise<Answer> {
  const response = await send(path, call);
  return (await response.json()) as Answer;
}

/** The entries of a page of a list, and the token of the next page. */
export type ListPage<Entry> = readonly [
  entries: readonly Entry[] | undefined,
  nextPageToken: string | undefined,
];

/** Every entry of a list that comes in pages. */
export async function all<Entry>(
  pageAt: (pageToken: string | undefined) => Promise<ListPage<Entry>>,
): Promise<Entry[]> {
  const found: Entry[] = [];
  let pageToken: string | undefined;
  do {
    const [entries, next] = await pageAt(pageToken);
    found.push(...(entries ?? []));
    pageToken = next;
  } while (pageToken);
  return found;
}

async function reach(address: string, init: RequestInit): Promise<Response> {
  try {
    const response = await fetch(address, init);
    setReachable(true);
    return response;
  } catch (error) {
    if (init.signal?.aborted) throw error;
    setReachable(false);
    throw new ApiError(UNREACHABLE, undefined);
  }
}

async function readError(response: Response): Promise<ApiError> {
  try {
    return fromStatus((await response.json()) as Status);
  } catch {
    return new ApiError(`The server answered ${response.status} ${response.statusText}.`, 2);
  }
}
