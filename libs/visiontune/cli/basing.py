"""Versions that go on from another: what an import adds to it or replaces, and what a filter keeps of it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from visiontune import names
from visiontune.cli.failures import Failed
from visiontune.cli.importing import finish_import
from visiontune.cli.session import Session, talks

if TYPE_CHECKING:
    from visiontune.dataset.v1 import dataset_pb2


class Mode(StrEnum):
    """What becomes of examples of the base that a new one has the id of."""

    APPEND = "append"
    REPLACE = "replace"


BaseVersion = Annotated[
    str,
    typer.Option(
        help="Go on from this version of the dataset: its examples are in the new one, too.", metavar="N"
    ),
]
ModeOption = Annotated[
    Mode | None,
    typer.Option(
        help="With --base-version: whether a record with the id of an example there is an error (append), "
        "or takes its place; append when absent."
    ),
]


def base(
    session: Session, dataset: str, version: str, mode: Mode | None
) -> "tuple[str, dataset_pb2.ImportMode.ValueType] | None":
    """The base's name and the mode, as a request has them. Raises Failed for a mode without a base."""
    from visiontune.dataset.v1 import dataset_pb2

    if not version:
        if mode:
            raise Failed("--mode says what becomes of another version's examples.", "Add --base-version N.")
        return None
    return base_name(session, dataset, version), dataset_pb2.ImportMode.Value(
        f"IMPORT_MODE_{(mode or Mode.APPEND).name}"
    )


def base_name(session: Session, dataset: str, version: str) -> str:
    """The full name of a version given as `3`, `v3` or in full."""
    number = version if version.startswith("v") or "/" in version else f"v{version}"
    return names.full(number, session.client.dataset_name(dataset), "versions")


def add_to(app: typer.Typer) -> None:
    """Adds the command to `visiontune dataset`."""
    app.command("filter")(filter_)


@talks
def filter_(
    session: Session,
    dataset: Annotated[str, typer.Argument(help="Its id.", metavar="DATASET")],
    filter_text: Annotated[
        str, typer.Option("--filter", help="What stays, for example 'split = train AND NOT has:problems'.")
    ],
    version: Annotated[
        str, typer.Option(help="The version to filter; the newest when absent.", metavar="N")
    ] = "",
) -> None:
    """Make a version of those examples of another for which a filter holds, as docs/filters.md explains."""
    from visiontune.dataset.v1 import dataset_pb2

    client = session.client
    of = base_name(session, dataset, version) if version else client.get_version(dataset).name
    request = dataset_pb2.ImportVersionRequest(
        parent=client.dataset_name(dataset),
        base_version=of,
        mode=dataset_pb2.IMPORT_MODE_FILTER,
        filter=filter_text,
    )
    finish_import(session, client.import_version(request))
