/** DatasetService: datasets, their versions, and what is in them. Versions never change, so nothing about them goes stale. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { int } from "../lib/format";
import { requestId } from "../lib/ids";
import { datasetOf, lastOf, versionOf } from "../lib/names";
import { filterOf, type View } from "../lib/view";
import { json, send } from "./http";
import type {
  Augmentation,
  AugmentationPreview,
  Changes,
  Dataset,
  DatasetVersion,
  Example,
  Format,
  ImagePolicy,
  ImportMode,
  OnError,
  Operation,
  Problem,
  Statistics,
  Thumbnail,
  ValidationReport,
} from "./types";

const FOREVER = { staleTime: Infinity } as const;

/** Thumbnails fetched in one call: a screenful or two. */
export const THUMBNAIL_PAGE = 60;

export function datasetsQuery(project: string) {
  return infiniteQueryOptions({
    queryKey: ["datasets", project],
    queryFn: ({ pageParam }) =>
      json<{ datasets?: Dataset[]; nextPageToken?: string }>(`${project}/datasets`, {
        query: { pageToken: pageParam },
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
  });
}

/** The deleted datasets of a project, or versions of a dataset, that can be brought back. */
export function deletedQuery(parent: string, collection: "datasets" | "versions") {
  return infiniteQueryOptions({
    queryKey: [collection, parent, "deleted"],
    queryFn: async ({ pageParam }) => {
      const page = await json<{ datasets?: Dataset[]; versions?: DatasetVersion[]; nextPageToken?: string }>(
        `${parent}/${collection}`,
        { query: { onlyDeleted: true, pageToken: pageParam } },
      );
      return { deleted: page.datasets ?? page.versions ?? [], nextPageToken: page.nextPageToken };
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
  });
}

/** Brings a deleted dataset or version back. */
export async function undelete(name: string): Promise<void> {
  await send(`${name}:undelete`, { method: "POST", body: { requestId: requestId() } });
}

export function datasetQuery(name: string) {
  return queryOptions({ queryKey: ["dataset", name], queryFn: () => json<Dataset>(name) });
}

export function versionsQuery(dataset: string) {
  return infiniteQueryOptions({
    queryKey: ["versions", dataset],
    queryFn: ({ pageParam }) =>
      json<{ versions?: DatasetVersion[]; nextPageToken?: string }>(`${dataset}/versions`, {
        query: { pageToken: pageParam },
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
  });
}

export function versionQuery(name: string) {
  return queryOptions({ queryKey: ["version", name], queryFn: () => json<DatasetVersion>(name), ...FOREVER });
}

export function statisticsQuery(version: string) {
  const name = `${version}/statistics`;
  return queryOptions({ queryKey: ["statistics", name], queryFn: () => json<Statistics>(name), ...FOREVER });
}

/** A report; while its import runs it grows, and is asked for again each second. */
export function reportQuery(name: string) {
  return queryOptions({
    queryKey: ["report", name],
    queryFn: () => json<ValidationReport>(name),
    ...FOREVER,
    refetchInterval: (query) => (query.state.data?.inProgress ? 1000 : false),
  });
}

/** Every problem of a report, in pages. */
export async function* problemsOf(report: string): AsyncGenerator<Problem[]> {
  let pageToken: string | undefined;
  do {
    const page: { problems?: Problem[]; nextPageToken?: string } = await json(`${report}/problems`, {
      query: { pageToken },
    });
    yield page.problems ?? [];
    pageToken = page.nextPageToken;
  } while (pageToken);
}

/** Page `page` of the thumbnails of what a view shows, and how many that are in all. */
export function thumbnailsQuery(version: string, view: View, page: number) {
  const query = { split: view.split, filter: filterOf(view), query: view.query };
  return queryOptions({
    queryKey: ["thumbnails", version, query, page],
    queryFn: async ({ signal }) => {
      const answer = await json<{ thumbnails?: Thumbnail[]; totalSize?: string }>(`${version}/thumbnails`, {
        query: { start: page * THUMBNAIL_PAGE, count: THUMBNAIL_PAGE, ...query },
        signal,
      });
      return { thumbnails: answer.thumbnails ?? [], total: int(answer.totalSize) };
    },
    ...FOREVER,
  });
}

/** The thumbnail of one example, whatever its split: its name ends in its row. */
export function thumbnailQuery(example: string) {
  return queryOptions({
    queryKey: ["thumbnail", example],
    queryFn: async ({ signal }) => {
      const answer = await json<{ thumbnails?: Thumbnail[] }>(`${versionOf(example)}/thumbnails`, {
        query: { start: lastOf(example), count: 1 },
        signal,
      });
      return answer.thumbnails?.[0] ?? {};
    },
    ...FOREVER,
  });
}

/** Examples for which a filter holds. */
export function examplesQuery(version: string, filter: string) {
  return infiniteQueryOptions({
    queryKey: ["examples", version, filter],
    queryFn: ({ pageParam }) =>
      json<{ examples?: Example[]; totalSize?: string; nextPageToken?: string }>(`${version}/examples`, {
        query: { filter, pageSize: 200, pageToken: pageParam },
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
    ...FOREVER,
  });
}

/** What `version` changed against `base`; when empty against the one that it was made of. */
export function changesQuery(version: string, base: string) {
  return infiniteQueryOptions({
    queryKey: ["changes", version, base],
    queryFn: ({ pageParam }) =>
      json<Changes>(`${version}:compare`, { query: { base, pageSize: 50, pageToken: pageParam } }),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken ?? undefined,
    ...FOREVER,
  });
}

export function exampleQuery(name: string) {
  return queryOptions({ queryKey: ["example", name], queryFn: () => json<Example>(name), ...FOREVER });
}

/** The original bytes of one image. The key travels in a header, so an <img> cannot fetch them itself. */
export function exampleImageQuery(example: string, index: number) {
  return queryOptions({
    queryKey: ["image", example, index],
    queryFn: async ({ signal }) => (await send(`${example}:image`, { query: { index }, signal })).blob(),
    staleTime: Infinity,
    gcTime: 60_000,
  });
}

/** URLs of an example's images that open without a key for an hour or a little more. */
export async function signImageLinks(example: string): Promise<readonly string[]> {
  const answer = await json<{ links?: { imageUrls?: string[] }[] }>(`${versionOf(example)}:signImageLinks`, {
    method: "POST",
    body: { rows: [lastOf(example)] },
  });
  return answer.links?.[0]?.imageUrls ?? [];
}

/** The formats that an archive may have. */
export const formatsQuery = queryOptions({
  queryKey: ["formats"],
  queryFn: async () => (await json<{ formats?: Format[] }>("formats")).formats ?? [],
  ...FOREVER,
});

/** A small dataset of a format to start from, as a zip. */
export async function fetchTemplate(format: string): Promise<Blob> {
  return (await send(`formats/${format}:template`)).blob();
}

/** Pictures of the rows as training would see them, in several epochs. */
export function augmentationQuery(
  version: string,
  policy: Augmentation,
  model: string,
  rows: readonly number[],
) {
  return queryOptions({
    queryKey: ["augmentation", version, policy, model, rows],
    queryFn: ({ signal }) =>
      json<AugmentationPreview>(`${version}:previewAugmentation`, {
        method: "POST",
        body: { augmentation: policy, modelPreset: model, rows: rows.map(String), count: 4 * rows.length },
        signal,
      }),
    ...FOREVER,
    retry: false,
  });
}

/** Creates a dataset. ApiError ALREADY_EXISTS when the id is taken. */
export function createDataset(project: string, id: string): Promise<Dataset> {
  return json<Dataset>(`${project}/datasets`, {
    method: "POST",
    query: { datasetId: id, requestId: requestId() },
    body: {},
  });
}

export async function deleteDataset(name: string): Promise<void> {
  await send(name, { method: "DELETE", query: { force: true, requestId: requestId() } });
}

/** What it shares with other versions stays. Refused while a job may still read it. */
export async function deleteVersion(name: string): Promise<void> {
  await send(name, { method: "DELETE", query: { requestId: requestId() } });
}

export interface ImportChoices {
  /** Detected when absent. */
  format?: string;
  onError: OnError;
  validationFraction: number;
  stripMetadata?: boolean;
  imagePolicy?: ImagePolicy | undefined;
  /** A version of the dataset to go on from, and what becomes of its examples. */
  baseVersion?: string;
  mode?: ImportMode;
}

/** Several uploads are read as one archive. */
export function importVersion(
  dataset: string,
  [upload, ...uploads]: readonly string[],
  choices: ImportChoices,
): Promise<Operation> {
  return json<Operation>(`${dataset}/versions:import`, {
    method: "POST",
    body: { upload, uploads, format: "auto", ...choices, requestId: requestId() },
  });
}

/** A version of those examples of another for which the filter holds. */
export function keepMatches(version: string, filter: string): Promise<Operation> {
  return json<Operation>(`${datasetOf(version)}/versions:import`, {
    method: "POST",
    body: { baseVersion: version, mode: "IMPORT_MODE_FILTER", filter, requestId: requestId() },
  });
}

/** An import on its way; asked again each second until it is done. */
export function operationQuery(name: string) {
  return queryOptions({
    queryKey: ["operation", name],
    queryFn: () => json<Operation>(name),
    refetchInterval: (query) => (query.state.data?.done ? false : 1000),
  });
}

export async function cancelOperation(name: string): Promise<void> {
  await send(`${name}:cancel`, { method: "POST", body: {} });
}
