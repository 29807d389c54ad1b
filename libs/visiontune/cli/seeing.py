"""What `visiontune train --preview` shows: examples as the model gets them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from visiontune import names
from visiontune.cli.progress import step
from visiontune.cli.session import Session

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2

# Around what is trained on, since colours do not reach a file.
OPENS, CLOSES = "⟦", "⟧"
_KINDS = {
    "CHOSEN": "with the chosen answer, ",
    "REJECTED": "with the rejected answer, ",
    "TEXT": "text, ",
    "IMAGE": "image, ",
    "NEGATIVE": "negative, ",
    "MASKED_TEXT": "text of the first epoch, what is to be predicted marked, ",
    "PACKED": "all of them in one row, ",
}


def preview(
    session: Session, job: "trainer_pb2.TrainingJob", rows: list[int] | None, count: int | None
) -> None:
    """Asks for examples of a job and prints them."""
    with step(session.err, "Encoding"):
        found = session.client.preview_examples(job, rows=rows or (), count=count or 0)
    if session.is_json:
        session.resource(found)
        return
    session.say(
        f"{found.family}, {found.objective}; at most {found.max_length:,} tokens. "
        f"[bold green]{OPENS}{CLOSES}[/] marks what is trained on."
    )
    for example in found.examples:
        session.say(f"\n[bold]{names.short(example.example)}[/] {escape(example.id)}")
        for each in example.inputs:
            _print(session, each)
        if example.problem:
            session.say(f"  [red]Not trained on:[/] {escape(example.problem)}")
    if found.HasField("packed_row"):
        session.say("\n[bold]packed[/]")
        _print(session, found.packed_row)


def _print(session: Session, each: "trainer_pb2.ModelInput") -> None:
    session.say(f"  [dim]{escape(_counts(each))}[/]")
    if each.spans:
        session.people.print(Text("  ").append_text(marked(each)), soft_wrap=True)
    for picture in each.pictures:
        session.say(f"  [cyan]{escape(_seen(picture))}[/]")


def marked(each: "trainer_pb2.ModelInput") -> Text:
    """The input's tokens as text: those of pictures folded, what is trained on in brackets and green."""
    text = Text()
    for span in each.spans:
        if span.kind == span.KIND_IMAGE:
            text.append(f"{span.text}×{span.token_count}", "cyan")
        elif span.kind == span.KIND_TRAINED:
            text.append(f"{OPENS}{span.text}{CLOSES}", "bold green")
        else:
            text.append(span.text)
    return text


def _counts(each: "trainer_pb2.ModelInput") -> str:
    kind = _KINDS.get(each.Kind.Name(each.kind).removeprefix("KIND_"), "")
    parts = [f"{kind}{each.token_count:,} tokens", f"{each.image_token_count:,} of images"]
    if each.trained_token_count:
        parts.append(f"{each.trained_token_count:,} trained on")
    if each.excess_token_count:
        parts.append(", ".join(_excess(each)))
    return "; ".join(parts)


def _excess(each: "trainer_pb2.ModelInput") -> Iterator[str]:
    yield f"{each.excess_token_count:,} too many"
    yield f"{each.excess_image_token_count:,} of them of images"
    yield f"{each.excess_trained_token_count:,} of them trained on"


def _seen(picture: "trainer_pb2.ModelInput.Picture") -> str:
    size = f"{picture.width_px}×{picture.height_px}"
    seen = f"{picture.seen_width_px}×{picture.seen_height_px}"
    tiles = f" in {picture.tile_count} tiles of" if picture.tile_count > 1 else " as"
    frames = f", {picture.frame_count} frames" if picture.frame_count else ""
    return f"{picture.path} of {size} px seen{tiles} {seen}{frames}"
