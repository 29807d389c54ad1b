"""What `visiontune train --dry-run` says of what a job would need."""

from typing import TYPE_CHECKING

from rich.markup import escape

from visiontune.cli.progress import seconds
from visiontune.cli.session import Session

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2

_PARTS = (
    ("program", "base_bytes"),
    ("weights", "weights_bytes"),
    ("gradients", "gradients_bytes"),
    ("optimiser", "optimiser_bytes"),
    ("text", "activations_bytes"),
    ("images", "image_bytes"),
    ("logits", "logits_bytes"),
)


def show(session: Session, estimate: "trainer_pb2.Estimate") -> None:
    """Prints the estimate as sentences and a table, or why there is none."""
    if estimate.unknown_reason:
        session.say(f"No estimate: {escape(estimate.unknown_reason)}")
        return
    share = estimate.trainable_parameters / max(1, estimate.total_parameters)
    session.say(
        f"Parameters: {estimate.total_parameters:,}, "
        f"of which {estimate.trainable_parameters:,} train ({share:.1%})"
    )
    tokens = estimate.tokens
    session.say(
        f"Tokens an example: {tokens.median:,} in the middle, {tokens.p95:,} at 95%, {tokens.max:,} at most, "
        f"with {tokens.max_image:,} of images"
    )
    memory = estimate.memory
    parts = ", ".join(f"{name} {gib(getattr(memory, field))}" for name, field in _PARTS)
    session.say(f"Memory of a process: [bold]{gib(memory.peak_bytes)}[/] at its peak ({parts})")
    if estimate.fits:
        session.table(
            ["ACCELERATOR", "NEEDS", "HAS", "FITS", "TIME", "COST", "CHANGE"],
            (_row(fit) for fit in estimate.fits),
            empty="",
        )


def gib(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


def _row(fit: "trainer_pb2.Estimate.Fit") -> list[str]:
    fits = ("yes" if fit.fits else "[red]no[/]") if fit.HasField("fits") else "-"
    changes = ", ".join(f"{each.field.rpartition('.')[2]}: {each.value}" for each in fit.changes)
    return [
        escape(fit.accelerator),
        gib(fit.needed_bytes),
        gib(fit.memory_bytes) if fit.HasField("memory_bytes") else "-",
        fits,
        seconds(fit.duration.seconds) if fit.HasField("duration") else "-",
        f"{fit.cost:.2f}" if fit.HasField("cost") else "-",
        changes or ("nothing helps" if fit.HasField("fits") and not fit.fits else ""),
    ]
