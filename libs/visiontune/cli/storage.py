"""`visiontune storage`: how much a project keeps, and how much it may."""

import mimetypes
from pathlib import Path
from typing import Annotated

import typer

from visiontune import names
from visiontune.cli import views
from visiontune.cli.progress import size
from visiontune.cli.session import Session, talks

app = typer.Typer(help="Look at quotas and what is stored.", no_args_is_help=True)

# As they are called here, and in the resource.
LIMITS = {
    "bytes": "limit_bytes",
    "objects": "limit_objects",
    "uploads": "limit_pending_uploads",
    "datasets": "limit_datasets",
    "images": "limit_images",
}
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
UNITS |= {f"{prefix}i": 1024**power for power, prefix in enumerate(" KMGT") if power}
DEFAULT = "default"


@app.command("quota")
@talks
def quota(
    session: Session,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            help=f"{', '.join(LIMITS)}=NUMBER, such as bytes=20GiB, or =default; may come several times. "
            "For operators.",
            metavar="LIMIT=NUMBER",
            default_factory=list,
        ),
    ],
) -> None:
    """Show what the project uses of its limits, or set limits."""
    limits = dict(limit_from(text) for text in set_)
    found = session.client.update_quota(limits) if limits else session.client.get_quota()
    if session.is_json:
        session.resource(found)
        return
    taken = found.used_bytes + found.reserved_bytes
    objects = found.object_count + found.pending_upload_count
    session.table(
        ["LIMIT", "USED", "OF", ""],
        [
            ["bytes", size(taken), size(found.limit_bytes), views.share(taken, found.limit_bytes)],
            [
                "objects",
                f"{objects:,}",
                f"{found.limit_objects:,}",
                views.share(objects, found.limit_objects),
            ],
            [
                "uploads",
                f"{found.pending_upload_count:,}",
                f"{found.limit_pending_uploads:,}",
                views.share(found.pending_upload_count, found.limit_pending_uploads),
            ],
            [
                "datasets",
                "",
                f"{found.limit_datasets:,}" if found.HasField("limit_datasets") else DEFAULT,
                "",
            ],
            ["images", "", f"{found.limit_images:,}" if found.HasField("limit_images") else DEFAULT, ""],
        ],
        empty="",
    )


@app.command("put")
@talks
def put(
    session: Session,
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file of at most 16 MiB.")],
    content_type: Annotated[str, typer.Option(help="MIME type; guessed by the name when not given.")] = "",
) -> None:
    """Upload a small file by way of the server, from where the object store cannot be reached."""
    guessed = content_type or mimetypes.guess_type(path.name)[0] or ""
    upload = session.client.upload_bytes(path.read_bytes(), path.name, content_type=guessed)
    if session.is_json:
        session.resource(upload)
        return
    session.say(f"{path.name}: {size(upload.size_bytes)}, sha256 {upload.sha256}")
    session.say(upload.name)


@app.command("uploads")
@talks
def uploads(session: Session) -> None:
    """List files that were uploaded and not imported, oldest first: they count against the quota."""
    found = list(session.client.list_uploaded())
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["OBJECT", "FILE", "SIZE", "UPLOADED"],
        (
            [names.short(each.name), each.filename, size(each.size_bytes), views.when(each.create_time)]
            for each in found
        ),
        empty="None: every uploaded file was imported, or deleted.",
    )


@app.command("delete")
@talks
def delete(
    session: Session,
    objects: Annotated[
        list[str], typer.Argument(help="As `visiontune storage uploads` lists them.", metavar="OBJECT...")
    ],
) -> None:
    """Delete uploaded files."""
    gone = session.client.delete_objects(objects)
    if session.is_json:
        session.resource(gone)
    else:
        session.say(f"Deleted {gone.deleted_count:,}, freed {size(gone.freed_bytes)}.")


@app.command("alerts")
@talks
def alerts(session: Session) -> None:
    """List times at which use rose to 80 or 100 % of a limit, newest first."""
    found = list(session.client.list_quota_alerts())
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["WHEN", "LIMIT", "SHARE", "USED", "OF"],
        (
            [
                views.when(each.create_time),
                type(each).Limit.Name(each.limit).removeprefix("LIMIT_").lower().replace("_", " "),
                f"{each.percent} %",
                f"{each.used:,}",
                f"{each.limit_value:,}",
            ]
            for each in found
        ),
        empty="None in 90 days: the project stayed below 80 % of its limits.",
    )


@app.command("usage")
@talks
def usage(
    session: Session,
    days: Annotated[int, typer.Option(min=1, max=400, help="How far to look back.")] = 30,
) -> None:
    """Show what the project keeps, for whom, and what that came to over time."""
    from visiontune.storage.v1.storage_pb2 import OwnerKind

    found = session.client.get_storage_usage(days=days)
    if session.is_json:
        session.resource(found)
        return
    session.table(
        ["KEPT FOR", "OBJECTS", "SIZE", f"GIB HOURS IN {days} DAYS", "COST"],
        (
            [
                OwnerKind.Name(each.kind).removeprefix("OWNER_KIND_").lower() + "s",
                f"{each.object_count:,}",
                size(each.size_bytes),
                f"{each.gib_hours:,.2f}",
                f"{each.cost:,.2f}" if each.HasField("cost") else "-",
            ]
            for each in found.kinds
        ),
        empty="The project keeps nothing.",
    )
    if found.owners:
        session.say("")
        session.table(
            ["LARGEST", "OBJECTS", "SIZE"],
            ([each.name, f"{each.object_count:,}", size(each.size_bytes)] for each in found.owners[:20]),
            empty="",
        )


@app.command("egress")
@talks
def egress(
    session: Session,
    days: Annotated[int, typer.Option(min=1, max=400, help="How far to look back.")] = 30,
) -> None:
    """Show what the object store sent to whoever read from it, day by day; for operators."""
    found = session.client.get_egress(days=days)
    if session.is_json:
        session.resource(found)
        return
    session.table(
        ["DAY", "SENT"],
        ([f"{each.start_time.ToDatetime():%Y-%m-%d}", size(each.sent_bytes)] for each in found.days),
        empty=f"Nothing in {days} days.",
    )
    cost = f", which cost {found.cost:,.2f}" if found.HasField("cost") else ""
    session.say(f"{size(found.sent_bytes)} in {days} days{cost}.")


@app.command("gc")
@talks
def gc(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only; remove nothing.")] = False,
    everywhere: Annotated[bool, typer.Option("--all", help="All projects; for operators.")] = False,
) -> None:
    """Remove what nobody needs any more: expired uploads, ended deletions, bytes that belong to nothing."""
    from visiontune.storage.v1 import storage_pb2

    operation = session.client.collect_garbage(everywhere=everywhere, dry_run=dry_run)
    found = storage_pb2.CollectGarbageResponse()
    session.client.wait(operation).response.Unpack(found)
    if session.is_json:
        session.resource(found)
        return
    rows = [
        ("uploads that expired", found.expired_uploads),
        ("deleted objects past their undo window", found.purged_objects),
        ("bytes that belong to nothing", found.orphans),
        ("the same, too young to be removed", found.young_orphans),
        ("objects whose bytes are MISSING", found.missing),
    ]
    session.table(
        ["WHAT", "COUNT", "SIZE"],
        ([label, f"{each.count:,}", size(each.size_bytes)] for label, each in rows),
        empty="",
    )
    for name in found.missing_objects:
        session.say(f"missing: {name}")
    for folder in found.unknown_folders:
        session.say(f"folder of a project that the database does not know, left alone: {folder}/")
    if found.dry_run:
        session.say("Nothing was removed. Remove it: visiontune storage gc" + " --all" * everywhere)
    else:
        session.say(f"Freed {size(found.freed_bytes)}.")


def limit_from(text: str) -> tuple[str, int | None]:
    """The field and the value of `bytes=20GiB`; None for `default`. Raises BadParameter."""
    name, _, value = text.partition("=")
    if name not in LIMITS:
        raise typer.BadParameter(f"{name!r} is no limit; there are {', '.join(LIMITS)}.", param_hint="--set")
    if value == DEFAULT and name != "bytes":
        return LIMITS[name], None
    number = value.removesuffix("B")
    unit = number.lstrip("0123456789.")
    try:
        return LIMITS[name], round(float(number.removesuffix(unit)) * UNITS[unit])
    except (ValueError, KeyError) as error:
        raise typer.BadParameter(
            f"{text!r}: give a number, such as {name}=500 or {name}=20GiB.", param_hint="--set"
        ) from error
