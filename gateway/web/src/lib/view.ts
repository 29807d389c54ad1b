/** Which examples of a version are shown: what the address says, and the filter that the server is asked for. Pure. */

export interface View {
  split: string;
  /** Contained in a message or caption. */
  query: string;
  /** A rule that the import warned about. */
  problem: string;
  duplicates: boolean;
  /** In the language of docs/filters.md. */
  filter: string;
  /** Id of the draft through which they are looked at; empty for none. */
  draft: string;
}

export const EVERYTHING: View = {
  split: "",
  query: "",
  problem: "",
  duplicates: false,
  filter: "",
  draft: "",
};

export function viewOf(params: URLSearchParams): View {
  const text = (name: string) => params.get(name) ?? "";
  return {
    split: text("split"),
    query: text("q"),
    problem: text("problem"),
    duplicates: params.has("duplicates"),
    filter: text("filter"),
    draft: text("draft"),
  };
}

/** The address of a view, without what it does not narrow. */
export function paramsOf(view: View): URLSearchParams {
  const params = new URLSearchParams();
  if (view.split) params.set("split", view.split);
  if (view.query) params.set("q", view.query);
  if (view.problem) params.set("problem", view.problem);
  if (view.duplicates) params.set("duplicates", "");
  if (view.filter) params.set("filter", view.filter);
  if (view.draft) params.set("draft", view.draft);
  return params;
}

/** True when examples are left out by more than their split. */
export function narrows(view: View): boolean {
  return filterOf(view) !== "" || view.query !== "";
}

/** What the server takes as `filter`; what a person wrote stands in parentheses, so that its OR cannot reach outside. */
export function filterOf(view: View): string {
  return [
    view.problem && `problem = ${quoted(view.problem)}`,
    view.duplicates && "duplicate = true",
    view.filter.trim() && `(${view.filter.trim()})`,
  ]
    .filter(Boolean)
    .join(" AND ");
}

/** A filter that holds for just what the view shows. */
export function wholeFilterOf(view: View): string {
  return [
    view.split && `split = ${quoted(view.split)}`,
    view.query && `text:${quoted(view.query)}`,
    filterOf(view),
  ]
    .filter(Boolean)
    .join(" AND ");
}

/** A value as a filter writes it. */
export function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
