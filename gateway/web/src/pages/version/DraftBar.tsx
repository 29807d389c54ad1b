/** Where a draft stands, above the examples: what is saved, what was refused, and the ways out of it. */
import { Button, Modal } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "react-router";
import { commitDraft, deleteDraft, draftQuery, rebaseDraft } from "../../api/drafts";
import { ApiError } from "../../api/errors";
import type { DatasetVersion, Edit } from "../../api/types";
import { Confirm } from "../../components/Confirm";
import { Failure } from "../../components/states";
import { wordsOf } from "../../lib/draft";
import { counted } from "../../lib/format";
import { lastOf, pages } from "../../lib/names";
import { EVERYTHING, paramsOf, quoted } from "../../lib/view";
import { AddExample } from "./AddExample";
import type { DraftHandle } from "./useDraft";
import css from "./version.module.css";

interface BarProps {
  version: DatasetVersion;
  draft: DraftHandle;
  leave: () => void;
}

export function DraftBar({ version, draft, leave }: BarProps) {
  const navigate = useNavigate();
  const commit = useMutation({
    mutationFn: () => commitDraft(draft.name, draft.draft?.etag ?? ""),
    onSuccess: (operation) => navigate(pages.operation(operation.name ?? "")),
  });
  const drop = useMutation({ mutationFn: () => deleteDraft(draft.name), onSuccess: leave });
  const [listed, list] = useDisclosure(false);
  const outdated = commit.error instanceof ApiError && commit.error.reason === "DraftOutdated";
  const refused = draft.error ?? commit.error;
  return (
    <section className={css.draft} aria-label="Draft">
      <div className={css.draftHead}>
        <strong>Editing {lastOf(version.name)}</strong>
        <Button size="compact-xs" variant="subtle" onClick={list.open} disabled={draft.edits.length === 0}>
          {counted(draft.edits.length, "edit")}
        </Button>
        <span className="muted" role="status">
          {draft.saving ? "Saving…" : draft.error ? "Not saved" : "All changes are saved"}
        </span>
        <span className={css.draftActions}>
          <AddExample version={version} draft={draft} />
          <Button
            size="xs"
            loading={commit.isPending}
            disabled={draft.edits.length === 0 || draft.saving}
            onClick={() => commit.mutate()}
          >
            Commit as a new version
          </Button>
          <Button size="xs" variant="default" onClick={leave}>
            Stop editing
          </Button>
          <Confirm
            label="Give up"
            title="Give this draft up?"
            text={`${counted(draft.edits.length, "edit")} are lost. The version stays as it is.`}
            action={drop}
          />
        </span>
      </div>
      {refused && <Failure error={refused} />}
      {outdated && <Rebase draft={draft} />}
      {draft.warnings.map((problem) => (
        <p key={problem.text} className={css.draftWarning}>
          {problem.message} <span className="muted">{problem.remedy}</span>
        </p>
      ))}
      <Modal opened={listed} onClose={list.close} title="Edits" lockScroll={false} size="lg">
        <EditList draft={draft} leave={list.close} />
      </Modal>
    </section>
  );
}

/** What a draft on an older version needs before it can be committed. */
function Rebase({ draft }: { draft: DraftHandle }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const rebase = useMutation({
    mutationFn: async () => {
      const moved = await rebaseDraft(draft.name);
      queries.setQueryData(draftQuery(draft.name).queryKey, moved);
      return await commitDraft(draft.name, moved.etag ?? "");
    },
    onSuccess: (operation) => navigate(pages.operation(operation.name ?? "")),
  });
  return (
    <div className={css.draftHead}>
      <span>
        Somebody made a newer version meanwhile. Your edits can be made to that one instead, unless it changed
        the same examples.
      </span>
      <Button size="xs" variant="default" loading={rebase.isPending} onClick={() => rebase.mutate()}>
        Move my edits and commit
      </Button>
      {rebase.error && <Failure error={rebase.error} />}
    </div>
  );
}

function EditList({ draft, leave }: { draft: DraftHandle; leave: () => void }) {
  const addressOf = (edit: Edit) => {
    const view = { ...EVERYTHING, filter: `id = ${quoted(edit.exampleId ?? "")}`, draft: lastOf(draft.name) };
    return `?${paramsOf(view).toString()}`;
  };
  return (
    <ol className={css.edits}>
      {draft.edits.map((edit) => (
        <li key={edit.number}>
          {edit.add ? (
            <span>{edit.exampleId}</span>
          ) : (
            <Link to={addressOf(edit)} onClick={leave}>
              {edit.exampleId}
            </Link>
          )}
          <span className={css.editWords}>{wordsOf(edit)}</span>
          <Button size="compact-xs" variant="subtle" onClick={() => draft.revert([edit.number ?? 0])}>
            Undo
          </Button>
        </li>
      ))}
    </ol>
  );
}
