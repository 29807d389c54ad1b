"""What `visiontune train --dry-run` says of what a job would need."""

from typing import TYPE_CHECKING

from rich.markup import escape

from visiontune.cli.progress import seconds
from visiontune.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from visiontune.trainer.v1 import trainer_pb2

_PARTS = (
    ("program", "base_bytes"),
    ("examples", "data_bytes"),
    ("weights", "weights_bytes"),
    ("gradients", "gradients_bytes"),
    ("optimiser", "optimiser_bytes"),
    ("text", "activations_bytes"),
    ("images", "image_bytes"),
    ("logits", "logits_bytes"),
    ("evaluation", "evaluation_bytes"),
)


def show_choices(
    session: Session, choices: "Sequence[trainer_pb2.ValidateTrainingJobResponse.Choice]"
) -> None:
    """Prints what was chosen for fields that were left open, and why."""
    if not choices:
        return
    rows = ([each.field.removeprefix("training_job.spec."), each.value, each.reason] for each in choices)
    session.table(["CHOSEN", "VALUE", "WHY"], (list(map(escape, row)) for row in rows), empty="")


def show(session: Session, estimate: "trainer_pb2.Estimate", where: str) -> None:
    """Prints the estimate as sentences and a table, or why there is none. where: the memory is."""
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
    session.say(f"Memory of a process on {where}: [bold]{gib(memory.peak_bytes)}[/] at its peak ({parts})")
    if estimate.HasField("duration"):
        session.say(f"Time: {seconds(estimate.duration.seconds)}, {_by_earlier(estimate)}")
    if estimate.fits:
        session.table(
            ["ACCELERATOR", "NEEDS", "HAS", "FITS", "TIME", "COST", "CHANGE"],
            (_row(fit) for fit in estimate.fits),
            empty="",
        )


def _by_earlier(told: "trainer_pb2.Estimate | trainer_pb2.Estimate.Fit") -> str:
    return f"by {told.measured_samples_per_second:.3g} examples/s of an earlier job"


def gib(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


def _row(fit: "trainer_pb2.Estimate.Fit") -> list[str]:
    fits = ("yes" if fit.fits else "[red]no[/]") if fit.HasField("fits") else "-"
    changes = ", ".join(f"{each.field.rpartition('.')[2]}: {each.value}" for each in fit.changes)
    time = seconds(fit.duration.seconds) if fit.HasField("duration") else "-"
    if fit.HasField("measured_samples_per_second"):
        time += f", {_by_earlier(fit)}"
    return [
        escape(fit.accelerator),
        gib(fit.needed_bytes),
        gib(fit.memory_bytes) if fit.HasField("memory_bytes") else "-",
        fits,
        time,
        f"{fit.cost:.2f}" if fit.HasField("cost") else "-",
        changes or ("nothing helps" if fit.HasField("fits") and not fit.fits else ""),
    ]
