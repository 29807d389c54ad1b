/** The draft that a version is looked at through: its edits, and how more are saved, one call after the other. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, use, useEffect } from "react";
import { addEdits, draftQuery, editsQuery, revertEdits, type Accepted } from "../../api/drafts";
import { ApiError, Code } from "../../api/errors";
import type { Draft, Edit, Problem } from "../../api/types";

export interface DraftHandle {
  name: string;
  draft: Draft | undefined;
  edits: readonly Edit[];
  /** Saves at once; the fields show what is not saved yet. */
  save: (edits: readonly Edit[]) => void;
  /** Rejects when the server refuses it. */
  add: (edit: Edit) => Promise<void>;
  revert: (numbers: readonly number[]) => void;
  saving: boolean;
  error: Error | null;
  /** What an import would warn of, about the last change. */
  warnings: readonly Problem[];
}

const DraftContext = createContext<DraftHandle | undefined>(undefined);

export const DraftProvider = DraftContext;

/** `undefined` where nothing is edited. */
export function useDraft(): DraftHandle | undefined {
  return use(DraftContext);
}

type Change = { add: readonly Edit[] } | { revert: readonly number[] };

export function useDraftHandle(name: string): DraftHandle {
  const queries = useQueryClient();
  const draft = useQuery(draftQuery(name));
  const edits = useQuery(editsQuery(name));
  const change = useMutation({
    // Each call names the etag that the one before it left.
    scope: { id: name },
    mutationFn: async (wanted: Change): Promise<Accepted> => {
      const etag = queries.getQueryData(draftQuery(name).queryKey)?.etag ?? "";
      if ("add" in wanted) return await addEdits(name, etag, wanted.add);
      return { draft: await revertEdits(name, etag, wanted.revert) };
    },
    onSuccess: (accepted, wanted) => {
      if (accepted.draft) queries.setQueryData(draftQuery(name).queryKey, accepted.draft);
      queries.setQueryData(editsQuery(name).queryKey, (before: Edit[] | undefined) => {
        const gone = new Set("revert" in wanted ? wanted.revert : []);
        return [...(before ?? []), ...(accepted.edits ?? [])].filter((edit) => !gone.has(edit.number ?? 0));
      });
    },
    onError: async (error) => {
      if (!isStale(error)) return;
      await queries.invalidateQueries({ queryKey: draftQuery(name).queryKey });
      await queries.invalidateQueries({ queryKey: editsQuery(name).queryKey });
    },
    onSettled: () => setUnsaved("calls", -1),
  });
  const send = (wanted: Change) => {
    setUnsaved("calls", 1);
    change.mutate(wanted);
  };
  const stale = isStale(change.error);
  return {
    name,
    draft: draft.data,
    edits: edits.data ?? [],
    save: (added) => send({ add: added }),
    add: async (edit) => {
      setUnsaved("calls", 1);
      await change.mutateAsync({ add: [edit] });
    },
    revert: (numbers) => send({ revert: numbers }),
    saving: change.isPending,
    error: stale ? new Error(STALE) : (change.error ?? draft.error ?? edits.error),
    warnings: change.data?.warnings ?? [],
  };
}

const STALE = "The draft was changed elsewhere. It is shown as it is now: look at it, then change it again.";

function isStale(error: Error | null): boolean {
  return error instanceof ApiError && error.code === Code.ABORTED;
}

const unsaved = { calls: 0, fields: 0 };

/** Counts what would be lost with the page: fields that are being typed in, and calls under way. */
function setUnsaved(kind: keyof typeof unsaved, step: 1 | -1): void {
  unsaved[kind] += step;
}

/** Counts a field whose text would be lost, as long as it is `dirty`. */
export function useUnsaved(dirty: boolean): void {
  useEffect(() => {
    if (!dirty) return;
    setUnsaved("fields", 1);
    return () => setUnsaved("fields", -1);
  }, [dirty]);
}

window.addEventListener("beforeunload", (event) => {
  if (unsaved.calls + unsaved.fields > 0) event.preventDefault();
});
