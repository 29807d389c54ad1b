"""`visiontune dataset` for changes: drafts of edits, what differs between versions, where they come from."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import views
from visiontune.cli.dataset import Target
from visiontune.cli.examples import text_of
from visiontune.cli.failures import Failed
from visiontune.cli.importing import await_import
from visiontune.cli.session import Session, talks
from visiontune.errors import ApiFailure

if TYPE_CHECKING:
    from visiontune.dataset.v1 import dataset_pb2

_EDITS_PER_CALL = 500
DraftOption = Annotated[str, typer.Option("--draft", help="Go on with this draft.", metavar="DRAFT")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module to `visiontune dataset`."""
    app.command("edit")(edit)
    app.command("drafts")(drafts)
    app.command("diff")(diff)
    app.command("history")(history)


@talks
def edit(
    session: Session,
    name: Target,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Edits, one JSON object a line, as docs/editing.md shows them.", exists=True, dir_okay=False
        ),
    ] = None,
    draft: DraftOption = "",
    revert: Annotated[
        list[int] | None, typer.Option(help="Number of an edit to take out; repeatable.")
    ] = None,
    rebase: Annotated[bool, typer.Option("--rebase", help="Move the draft to the newest version.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Make a version of the draft, and wait.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Give the draft up.")] = False,
) -> None:
    """Edit examples in a draft, and commit it as the next version.

    Without --draft a new draft is begun, on the version given or the newest one.
    """
    client, dataset = session.client, session.client.dataset_name(names.dataset(name))
    edits = [_parsed(session, line, value) for line, value in _edits(file)] if file else []
    if draft:
        now = client.get_draft(names.full(draft, dataset, "drafts"))
    elif file:
        now = client.create_draft(dataset, client.version_name(name))
    else:
        raise Failed("There is nothing to do.", "Give edits by --file, or an earlier draft by --draft.")
    if discard:
        client.delete_draft(now.name)
        session.raw({}) if session.is_json else session.say(f"Deleted the draft {names.short(now.name)}.")
        return
    if revert:
        now = client.revert_edits(now.name, revert, now.etag)
    now = _send(session, now, edits, is_new=not draft)
    if rebase:
        now = client.rebase_draft(now.name, now.etag)
    if commit:
        version, metadata = await_import(session, client.commit_version(now.name, now.etag), "Committing")
        session.resource(version) if session.is_json else session.say(views.imported(version, metadata))
    elif session.is_json:
        session.resource(now)
    else:
        id_ = names.short(now.name)
        session.say(f"Draft {id_} of {names.short(now.base_version)}: {now.edit_count:,} edits.")
        session.say(f"[dim]Next: visiontune dataset edit {names.short(dataset)} --draft {id_} --commit[/]")


def _send(
    session: Session, draft: "dataset_pb2.Draft", edits: "list[dataset_pb2.Edit]", *, is_new: bool
) -> "dataset_pb2.Draft":
    """The draft with the edits; a new one does not outlive the refusal of its first."""
    for start in range(0, len(edits), _EDITS_PER_CALL):
        try:
            part = edits[start : start + _EDITS_PER_CALL]
            done = session.client.edit_examples(draft.name, part, draft.etag)
        except ApiFailure:
            if is_new and not start:
                session.client.delete_draft(draft.name)
            raise
        draft = done.draft
        for warning in done.warnings:
            session.err.print(escape(f"warning: {warning.text}"), soft_wrap=True)
    return draft


def _edits(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects. Raises Failed for what is none."""
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Failed(f"{file.name}:{number} is not JSON: {error}.") from error
        if not isinstance(value, dict):
            raise Failed(f"{file.name}:{number} is no JSON object.")
        yield number, value


def _parsed(session: Session, number: int, value: dict[str, Any]) -> "dataset_pb2.Edit":
    """The edit of a line; images given as `file` are uploaded first. Raises Failed."""
    from google.protobuf.json_format import ParseDict, ParseError

    from visiontune.dataset.v1 import dataset_pb2

    added = value.get("add")
    for image in added.get("images", []) if isinstance(added, dict) else []:
        if isinstance(image, dict) and "file" in image:
            path = Path(image.pop("file"))
            if not path.is_file():
                raise Failed(f"Line {number}: there is no file {path}.")
            image["upload"] = session.client.upload(path).name
    try:
        return ParseDict(value, dataset_pb2.Edit())
    except ParseError as error:
        raise Failed(f"Line {number}: {error}", "docs/editing.md shows how edits are written.") from error


@talks
def drafts(session: Session, name: Target) -> None:
    """List a dataset's drafts, newest first."""
    found = list(session.client.list_drafts(name))
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["DRAFT", "BASE", "EDITS", "CHANGED", "EXPIRES"],
        (
            [
                names.short(d.name),
                names.short(d.base_version),
                f"{d.edit_count:,}",
                views.when(d.update_time),
                views.when(d.expire_time),
            ]
            for d in found
        ),
        empty=f"No drafts. Begin one: visiontune dataset edit {name} --file EDITS",
    )


@talks
def diff(
    session: Session,
    base: Annotated[str, typer.Argument(help="DATASET/VERSION; or the newer one, if it stands alone.")],
    newer: Annotated[str, typer.Argument(help="DATASET/VERSION, the newer one.")] = "",
) -> None:
    """Show what differs between two versions, example by example.

    With one version alone: from the one it was made of, or the one before it.
    """
    pages = session.client.compare_versions(newer or base, base if newer else "")
    if session.is_json:
        for page in pages:
            for change in page.changes:
                session.line(change)
        return
    first = None
    for page in pages:
        first = first or page
        for change in page.changes:
            session.out.print(_line(change), soft_wrap=True)
    if first:
        session.say(
            f"{first.added_count:,} added, {first.removed_count:,} removed, {first.changed_count:,} changed "
            f"since {names.short(first.base)}."
        )


def _line(change: "dataset_pb2.ExampleChange") -> str:
    """`+ r7  What is it? | A cat.`; of a change what it was, and what it is."""
    id_ = escape(change.example_id)
    if not change.HasField("before"):
        return f"[green]+ {id_}[/]  {escape(text_of(change.after))}"
    if not change.HasField("after"):
        return f"[red]- {id_}[/]  {escape(text_of(change.before))}"
    lines = [f"[yellow]~ {id_}[/]  {', '.join(change.fields)}"]
    for field in change.fields:
        old, new = (_shown(example, field) for example in (change.before, change.after))
        if old != new:
            lines += [f"    [red]- {escape(old)}[/]", f"    [green]+ {escape(new)}[/]"]
    return "\n".join(lines)


def _shown(example: "dataset_pb2.Example", field: str) -> str:
    """One field of an example, on a line."""
    match field:
        case "split":
            return example.split
        case "tags":
            return ", ".join(example.tags)
        case "messages" | "texts":
            return text_of(example)
        case "metadata":
            return example.metadata_json
        case _:
            return ", ".join(image.path for image in example.images)


@talks
def history(session: Session, name: Target) -> None:
    """Show where each version comes from and which jobs trained on it, newest first."""
    client = session.client
    dataset = client.dataset_name(names.dataset(name))
    jobs = defaultdict(list)
    for job in client.list_jobs(dataset):
        jobs[job.spec.dataset_version].append(names.short(job.name))
    found = list(client.list_versions(dataset))
    if session.is_json:
        from google.protobuf.json_format import MessageToDict

        session.raw([{"version": MessageToDict(v), "trainingJobs": jobs[v.name]} for v in found])
        return
    session.table(
        ["VERSION", "MADE OF", "EXAMPLES", "JOBS", "CREATED"],
        (
            [
                names.short(v.name),
                escape(views.made_of(v)),
                f"{v.example_count:,}",
                ", ".join(jobs[v.name]) or "-",
                views.when(v.create_time),
            ]
            for v in found
        ),
        empty=f"No versions yet. Import one: visiontune dataset import ARCHIVE --dataset {name}",
    )
