"""`visiontune dataset` for what is in a version: looking at examples."""

import itertools
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli.dataset import Target
from visiontune.cli.session import Session, talks

if TYPE_CHECKING:
    from visiontune.dataset.v1 import dataset_pb2

_SHOWN_CHARACTERS = 60


class Order(StrEnum):
    """What comes first."""

    TEXT = "text"
    IMAGES = "images"


# What the service calls them.
_ORDERS = {Order.TEXT: "text_bytes desc", Order.IMAGES: "image_pixels desc"}


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module to `visiontune dataset`."""
    app.command("examples")(examples)
    app.command("links")(links)


@talks
def examples(
    session: Session,
    name: Target,
    filter_: Annotated[
        str, typer.Option("--filter", help='For example "split = train AND width >= 512"; docs/filters.md.')
    ] = "",
    query: Annotated[str, typer.Option(help="Text that a message or caption contains, in any case.")] = "",
    largest: Annotated[
        Order | None, typer.Option(help="First those with most text, or with most pixels of images.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most examples that are listed.")] = 50,
) -> None:
    """List examples of a version in row order, or the largest first; of a dataset, of the newest one."""
    order_by = _ORDERS[largest] if largest else ""
    found = itertools.islice(
        session.client.list_examples(
            name, filter_=filter_, query=query, order_by=order_by, page_size=min(limit, 200)
        ),
        limit,
    )
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["EXAMPLE", "ID", "SPLIT", "IMAGES", "TEXT", "TAGS"],
        (
            [
                names.short(example.name),
                escape(example.example_id),
                example.split,
                str(len(example.images)),
                escape(text_of(example)),
                escape(", ".join(example.tags)),
            ]
            for example in found
        ),
        empty="No examples match.",
    )


@talks
def links(
    session: Session,
    name: Target,
    rows: Annotated[list[int], typer.Argument(help="Rows of the examples, from 0.", min=0)],
    ttl_s: Annotated[
        int,
        typer.Option("--ttl", min=60, max=604_800, metavar="SECONDS", help="How long they work at least."),
    ] = 3600,
) -> None:
    """Sign links to the pictures of examples, which open without an API key until they end."""
    signed = session.client.sign_image_links(name, rows, timedelta(seconds=ttl_s))
    if session.is_json:
        session.resource(signed)
        return
    for each in signed.links:
        session.say(f"[bold]{escape(names.short(each.example))}[/]")
        for what, url in (("thumbnail", each.thumbnail_url), *(("image", url) for url in each.image_urls)):
            session.say(f"{what:9} {escape(url) or 'none'}")
    session.say(f"They work until {signed.expire_time.ToDatetime():%Y-%m-%d %H:%M} UTC.")


def text_of(example: "dataset_pb2.Example") -> str:
    """What is said in an example, on one line and cut."""
    said = [part.text for message in example.messages for part in message.content if part.text]
    line = " | ".join(" ".join(text.split()) for text in [*said, *example.texts])
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"
