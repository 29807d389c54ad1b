"""`visiontune dataset delete` and its way back."""

from typing import Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli.dataset import Target
from visiontune.cli.session import Session, talks


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `visiontune dataset`."""
    app.command("delete")(delete)
    app.command("undelete")(undelete)


@talks
def delete(
    session: Session,
    name: Target,
    force: Annotated[
        bool, typer.Option("--force", help="Also its versions, and what jobs, drafts or readers use.")
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Without a way back, which frees its bytes at once.")
    ] = False,
) -> None:
    """Delete a dataset, its versions too with --force; or one version, but what others share of it.

    It can be brought back for a while: visiontune dataset undelete.
    """
    client = session.client
    if names.dataset(name) == name:
        client.delete_dataset(name, force=force, purge=purge)
    else:
        client.delete_version(name, force=force, purge=purge)
    if session.is_json:
        session.raw({})
        return
    session.say(f"Deleted {escape(name)}.")
    if not purge:
        session.say(f"[dim]Bring it back: visiontune dataset undelete {escape(name)}[/]")


@talks
def undelete(session: Session, name: Target) -> None:
    """Bring a deleted dataset back, or a deleted version. `dataset list --deleted` lists them."""
    client = session.client
    is_dataset = names.dataset(name) == name
    found = client.undelete_dataset(name) if is_dataset else client.undelete_version(name)
    session.resource(found) if session.is_json else session.say(f"{escape(names.short(found.name))} is back.")
