/** Resource names (`projects/p/datasets/d/versions/v3`) and the pages that show them. */

/** The segment after `collection`, or an empty string: `idOf(name, "versions")` is `v3`. */
export function idOf(name: string | undefined, collection: string): string {
  const segments = (name ?? "").split("/");
  const at = segments.indexOf(collection);
  return at >= 0 ? (segments[at + 1] ?? "") : "";
}

/** The last segment. */
export function lastOf(name: string | undefined): string {
  return (name ?? "").split("/").at(-1) ?? "";
}

/** `projects/p/datasets/d` of anything below a dataset. */
export function datasetOf(name: string): string {
  return name.split("/").slice(0, 4).join("/");
}

/** The version of an example or of statistics. */
export function versionOf(name: string): string {
  return name.split("/").slice(0, 6).join("/");
}

/** `projects/p/trainingJobs/j` of anything below a job. */
export function jobOf(name: string): string {
  return name.split("/").slice(0, 4).join("/");
}

export const pages = {
  dataset: (name: string) => `/datasets/${idOf(name, "datasets")}`,
  version: (name: string) => `/datasets/${idOf(name, "datasets")}/versions/${idOf(name, "versions")}`,
  operation: (name: string) => `/datasets/${idOf(name, "datasets")}/imports/${idOf(name, "operations")}`,
  export: (name: string) => `/datasets/${idOf(name, "datasets")}/exports/${idOf(name, "operations")}`,
  report: (name: string) => `/datasets/${idOf(name, "datasets")}/reports/${idOf(name, "validationReports")}`,
  job: (name: string) => `/jobs/${idOf(name, "trainingJobs")}`,
  model: (name: string) => `/models/${idOf(name, "models")}`,
  /** The form of a job on a base model: `preset:tiny-llava`, `model:projects/…/models/…`. */
  trainOn: (base: string) => `/jobs/new?base=${encodeURIComponent(base)}`,
  newJob: (version?: string) => `/jobs/new${version ? `?version=${encodeURIComponent(version)}` : ""}`,
  compare: (jobs: readonly string[]) =>
    `/jobs/compare?${new URLSearchParams(jobs.map((job) => ["job", lastOf(job)])).toString()}`,
  goOnFrom: (job: string) => `/jobs/new?resume=${encodeURIComponent(job)}`,
  copyOf: (job: string) => `/jobs/new?from=${encodeURIComponent(job)}`,
} as const;
