"""`visiontune accelerators`: what a job can train on."""

from rich.markup import escape

from visiontune import names
from visiontune.cli.session import Session, talks


@talks
def accelerators(session: Session) -> None:
    """List the accelerators that a job may ask for. A job that names none trains on processors."""
    found = list(session.client.list_accelerators())
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["ACCELERATOR", "MEMORY", "A NODE", "PRICE AN HOUR", "SPOT", "SPOT PRICE"],
        (
            [
                escape(names.short(each.name)),
                f"{each.memory_bytes / 2**30:g} GiB" if each.HasField("memory_bytes") else "-",
                f"up to {each.max_count}",
                f"{each.price_per_hour:.2f}" if each.HasField("price_per_hour") else "-",
                "yes" if each.spot_available else "no",
                f"{each.spot_price_per_hour:.2f}" if each.HasField("spot_price_per_hour") else "-",
            ]
            for each in found
        ),
        empty="None that is known here: jobs train on this server's processors.",
    )
