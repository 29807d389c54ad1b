"""`visiontune demo`: the whole path once, on real scans, in a few minutes."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import importing, job, stack, views, watching
from visiontune.cli.failures import Failed
from visiontune.cli.progress import seconds, step
from visiontune.cli.session import Output, OutputOption, Session, home

if TYPE_CHECKING:
    from visiontune.dataset.v1 import dataset_pb2
    from visiontune.trainer.v1 import trainer_pb2

LEAST_ACCURACY = 0.90


@dataclass(frozen=True, slots=True)
class Lesson:
    """One thing that the demo teaches a model."""

    dataset: str
    task: str
    title: str
    adaptation: str


DIGITS = Lesson("digits", "digit", "Read handwritten digits, every weight of a small LLaVA", "full")
PARITY = Lesson("digits-parity", "parity", "Tell odd from even, LoRA on top of the first model", "lora")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a lesson left behind."""

    job: "trainer_pb2.TrainingJob"
    # The downloaded artifact.
    folder: Path


def demo(
    full: Annotated[
        bool, typer.Option("--full", help="Then train a LoRA adapter on top of the result, for another task.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run everything once: start, upload, validate, train, download, ask.

    Uses 1,797 scans of handwritten digits. Fails when the trained model reads less than 90 % of the scans
    that it never saw. The second run finds the data unchanged and trains again. --output json prints the last
    job.
    """
    began, session = time.monotonic(), Session(output=output)
    folder = home() / "demo"
    start_stack(session)
    folder.mkdir(exist_ok=True)
    first = last = learn(session, DIGITS, folder)
    if full:
        model = register(session, first)
        last = learn(session, PARITY, folder, base=model, base_folder=first.folder)
    closing(session, folder, time.monotonic() - began)
    if session.is_json:
        session.resource(last.job)


def start_stack(session: Session) -> None:
    """Starts the stack of this machine unless it runs."""
    heading(session, "Start the programs")
    stack.ensure_up(session)


def learn(
    session: Session, lesson: Lesson, folder: Path, base: str = "", base_folder: Path | None = None
) -> Learnt:
    """Data in, model out, and one question to it. Raises Failed when it learnt too little."""
    heading(session, lesson.title)
    version = import_scans(session, lesson, folder)
    ended = train(session, lesson, version, base)
    found = list(session.client.list_artifacts(ended.name))
    target = folder / names.short(ended.name)
    job.fetch(session, found, target)
    artifact = target / ("adapter" if base else "model")
    ask(session, version, artifact, folder, base_folder)
    return Learnt(ended, artifact)


def import_scans(session: Session, lesson: Lesson, folder: Path) -> "dataset_pb2.DatasetVersion":
    """Builds the archive, uploads and imports it, shows what it holds."""
    archive = folder / f"{lesson.dataset}.tar.gz"
    with step(session.err, f"Building {archive.name}"):
        run(example("digits.py"), str(archive), "--task", lesson.task)
    importing.ensure(session, lesson.dataset)
    upload = importing.send(session, archive)
    operation = importing.start_import(session, lesson.dataset, [upload.name])
    version, metadata = importing.await_import(session, operation)
    session.say(views.imported(version, metadata))
    views.version(session, version, session.client.get_statistics(version.name))
    return version


def train(
    session: Session, lesson: Lesson, version: "dataset_pb2.DatasetVersion", base: str
) -> "trainer_pb2.TrainingJob":
    """Trains and shows held-out accuracy before and after. Raises Failed below 90 %."""
    from visiontune.trainer.v1 import trainer_pb2

    spec = trainer_pb2.TrainingJobSpec(dataset_version=version.name)
    spec.adaptation.method = trainer_pb2.Adaptation.Method.Value(f"METHOD_{lesson.adaptation.upper()}")
    if base:
        spec.base_model.model = base
    else:
        spec.base_model.preset = "tiny-llava"
    job_id = f"{lesson.dataset}-{time.strftime('%m%d-%H%M%S')}"
    created = session.client.create_job(
        trainer_pb2.TrainingJob(display_name=lesson.title, spec=spec), job_id=job_id
    )
    ended = watching.watch(session, created.name)
    watching.require_success(ended)
    before, after = (views.accuracy(dict(m)) for m in (ended.metrics_before, ended.metrics_after))
    held_out = version.split_counts["validation"]
    session.say(
        f"Right answers on the {held_out:,} scans it never saw: {views.percent(before)} before, "
        f"[bold green]{views.percent(after)}[/] after, in {seconds(views.duration_s(ended))}"
    )
    if after is None or after < LEAST_ACCURACY:
        raise Failed(
            f"The model should reach {views.percent(LEAST_ACCURACY)}, and reached {views.percent(after)}.",
            f"See: visiontune job logs {job_id}",
        )
    return ended


def ask(
    session: Session,
    version: "dataset_pb2.DatasetVersion",
    artifact: Path,
    folder: Path,
    base_folder: Path | None,
) -> None:
    """Asks the downloaded model about one held-out scan, in a process that imports nothing of ours."""
    client = session.client
    scan = next(iter(client.list_examples(version.name, split="validation")))
    image = folder / "held-out.png"
    image.write_bytes(client.get_example_image(scan.name))
    texts = [" ".join(part.text for part in message.content).strip() for message in scan.messages]
    question, expected = texts[0], texts[-1]
    base = ["--base", str(base_folder)] if base_folder else []
    with step(session.err, "Asking it in plain transformers"):
        answer = run(example("ask_model.py"), str(artifact), str(image), question, *base)
    session.say(
        f"{escape(scan.example_id)}: [italic]{escape(question)}[/] "
        f"The model says [bold]{views.quoted(answer)}[/], the data says {escape(expected)}."
    )


def register(session: Session, learnt: Learnt) -> str:
    """Makes the result a model that the next job can start from; returns its name."""
    model_id = names.short(learnt.job.name)
    model = session.client.register_model(model_id, learnt.job.name, description="Reads handwritten digits.")
    session.say(f"Registered as model [bold]{model_id}[/]")
    return model.name


def closing(session: Session, folder: Path, took_s: float) -> None:
    """Where everything is, and what to try next."""
    heading(session, f"Done in {seconds(took_s)}")
    session.say(f"  in the browser   {session.client.server}")
    session.say(f"  your API key     {home() / 'api-key'}")
    session.say(f"  archives, models {folder}")
    session.say(
        "  try next         visiontune job list, visiontune dataset show digits, visiontune demo --full"
    )
    session.say("  look, stop       visiontune status, visiontune down")


def heading(session: Session, text: str) -> None:
    """A line that begins a part."""
    session.say(f"\n[bold]{escape(text)}[/]")


def example(name: str) -> Path:
    """A script of examples/: beside the checkout, or as the wheel brings it. Raises Failed."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parents[1] / "examples", package.parent / "visiontune_examples"):
        if (folder / name).exists():
            return folder / name
    raise Failed(f"examples/{name} is missing from this installation.")


def run(script: Path, *arguments: str) -> str:
    """Runs a script to its end and returns what it printed. Raises Failed with its last words."""
    # -I: neither the working folder nor PYTHONPATH decides what is imported.
    done = subprocess.run(
        [sys.executable, "-I", str(script), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise Failed(f"{script.name} failed:\n{last}")
    return done.stdout.strip()
