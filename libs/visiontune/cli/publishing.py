"""`visiontune models download`, `push` and `export`: a registered model leaves, from this machine."""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import hub, job
from visiontune.cli.failures import Failed
from visiontune.cli.models import ModelName
from visiontune.cli.session import Session, talks

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2


class Format(StrEnum):
    """What other programs read."""

    GGUF = "gguf"


Folder = Annotated[
    Path | None,
    typer.Option("--to", help="Folder for the files; one of the model's name when empty.", file_okay=False),
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `visiontune models`."""
    app.command("download")(download)
    app.command("push")(push)
    app.command("export")(export)


@talks
def download(session: Session, model: ModelName, to: Folder = None) -> None:
    """Fetch a registered model's files, verified; those that are there already stay."""
    folder = to or Path(names.short(model))
    found = fetched(session, model, folder)
    session.resources(found.files) if session.is_json else session.say(f"In {escape(str(folder))}/.")


@talks
def push(
    session: Session,
    model: ModelName,
    repo_id: Annotated[str, typer.Option(help="Where to, for example me/digits.", metavar="OWNER/NAME")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it. The card shows samples of the data.")
    ] = False,
    existing: Annotated[
        bool,
        typer.Option("--existing", help="Into a repository that is there; also after a push that broke off."),
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(help="Folder to keep the files in; a temporary one when empty.", file_okay=False),
    ] = None,
) -> None:
    """Push a registered model to the Hugging Face Hub, from this machine and with its token.

    The token is that of HF_TOKEN or `hf auth login`; VisionTune's servers never see it.
    """
    target = hub.Target(repo_id, is_public=public, may_exist=existing)
    target.check()
    found = session.client.get_model(model)
    if found.is_adapter and found.base_model.WhichOneof("source") in {"model", "path"}:
        session.err.print(
            "[yellow]Warning[/] It is an adapter on something that is not on the Hub; only who has that can "
            "load it. A whole model needs nothing else: visiontune models register ID --job JOB "
            "--artifact merged",
            soft_wrap=True,
        )
    with tempfile.TemporaryDirectory(prefix="visiontune-push-") as temporary:
        folder = to or Path(temporary)
        fetched(session, model, folder)
        url = target.push(folder, f"Trained by VisionTune: {names.short(found.name)}")
    session.raw({"url": url}) if session.is_json else session.say(f"Pushed to {escape(url)}")


@talks
def export(
    session: Session,
    model: ModelName,
    format_: Annotated[Format, typer.Option("--format", help="What for: gguf for llama.cpp.")] = Format.GGUF,
    to: Folder = None,
) -> None:
    """Fetch a whole model and show the command of llama.cpp that makes GGUF of it.

    The converter is a script of llama.cpp, which no package installs; VisionTune has none of its own.
    """
    found = session.client.get_model(model)
    families = {each.family: each for each in session.client.list_model_families()}
    sees = check_convertible(found, families)
    folder = to or Path(names.short(model))
    fetched(session, model, folder)
    commands = gguf_commands(folder, sees=sees)
    if session.is_json:
        session.raw({"folder": str(folder), "commands": commands})
        return
    session.say(f"In {escape(str(folder))}/. In a checkout of llama.cpp, with its requirements installed:")
    for command in commands:
        session.say(f"  {escape(command)}")


def fetched(session: Session, model: str, folder: Path) -> "trainer_pb2.Artifact":
    """Downloads a registered model's files right into a folder. Raises Failed when the disk refuses."""
    from visiontune.trainer.v1 import trainer_pb2

    files = list(session.client.list_model_files(model))
    found = trainer_pb2.Artifact(
        name=folder.name, files=files, size_bytes=sum(each.size_bytes for each in files)
    )
    job.fetch(session, [found], folder.parent)
    return found


def check_convertible(model: "trainer_pb2.Model", families: "dict[str, trainer_pb2.ModelFamily]") -> bool:
    """True when what sees needs a file of its own. Raises Failed when the converter takes no such model."""
    family = families.get(model.family)
    if family is None or not family.gguf_convertible:
        taken = ", ".join(sorted(name for name, each in families.items() if each.gguf_convertible))
        raise Failed(
            f'llama.cpp\'s converter takes no models of the family "{model.family}".',
            f"It takes: {taken}.",
        )
    if model.is_adapter:
        raise Failed(
            f"{names.short(model.name)} is an adapter, and the converter takes whole models.",
            "Train with publish.merged, then: visiontune models register ID --job JOB --artifact merged",
        )
    return any("IMAGE" in kind for kind in family.takes)


def gguf_commands(folder: Path, *, sees: bool) -> list[str]:
    """What to run in a checkout of llama.cpp, for a folder with a whole model."""
    path = folder.resolve()
    command = f"python convert_hf_to_gguf.py {path} --outfile {path / 'model.gguf'}"
    seeing = f"python convert_hf_to_gguf.py {path} --mmproj --outfile {path / 'mmproj.gguf'}"
    return [command, seeing] if sees else [command]
