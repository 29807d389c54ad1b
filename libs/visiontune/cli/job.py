"""`visiontune job`: what runs, how it goes, what came out."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from visiontune import names
from visiontune.cli import views, watching
from visiontune.cli.failures import Failed
from visiontune.cli.progress import Update, size, step
from visiontune.cli.session import Session, talks

if TYPE_CHECKING:
    from visiontune.trainer.v1 import trainer_pb2

app = typer.Typer(help="Look at training jobs, pause or stop them, fetch results.", no_args_is_help=True)

JobName = Annotated[str, typer.Argument(help="Id or full name.", metavar="JOB")]


@app.command("list")
@talks
def list_(session: Session) -> None:
    """List jobs, newest first."""
    found = list(session.client.list_jobs())
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["JOB", "STATE", "MODEL", "DATA", "STEP", "HELD-OUT", "CREATED"],
        (
            [
                names.short(job.name),
                views.state(job),
                escape(views.base_model(job.spec.base_model)),
                escape(names.short(job.spec.dataset_version)),
                f"{job.progress.step:,}/{job.progress.total_steps:,}",
                views.percent(views.accuracy(dict(job.metrics_after))),
                views.when(job.create_time),
            ]
            for job in found
        ),
        empty="No jobs yet. Start one: visiontune train --dataset DATASET --model tiny-llava",
    )


@app.command("show")
@talks
def show(session: Session, job: JobName) -> None:
    """Show one job."""
    found = session.client.get_job(job)
    if session.is_json:
        session.resource(found)
    else:
        views.job(session, found, session.client.accelerator_usage(job))


@app.command("watch")
@talks
def watch(session: Session, job: JobName) -> None:
    """Watch a job until it ends: progress, loss, held-out accuracy.

    With --output json each update is one line. The exit code is 0 only when the job SUCCEEDED.
    """
    ended = watching.watch(session, session.client.job_name(job), as_lines=session.is_json)
    if not session.is_json:
        session.say(watching.result(ended))
    watching.require_success(ended)


@app.command("cancel")
@talks
def cancel(
    session: Session,
    job: JobName,
    wait: Annotated[bool, typer.Option(help="Wait until the worker has stopped.")] = True,
) -> None:
    """Stop a job."""
    found = session.client.cancel_job(job)
    if wait:
        found = _wait(session, found, "Stopping")
    _say_state(session, found)


@app.command("pause")
@talks
def pause(
    session: Session,
    job: JobName,
    wait: Annotated[bool, typer.Option(help="Wait until the worker has saved and left.")] = True,
) -> None:
    """Pause a job: it saves where it is and frees its machine.

    Go on with: visiontune job resume JOB
    """
    found = session.client.pause_job(job)
    _say_state(session, _wait(session, found, "Pausing", "PAUSED") if wait else found)


@app.command("resume")
@talks
def resume(
    session: Session,
    job: JobName,
    wait: Annotated[bool, typer.Option(help="Wait until a worker has taken it up.")] = False,
) -> None:
    """Let a paused job go on from where it was."""
    found = session.client.resume_job(job)
    _say_state(session, _wait(session, found, "Resuming", "RUNNING") if wait else found)


@app.command("logs")
@talks
def logs(
    session: Session,
    job: JobName,
    download: Annotated[
        Path | None,
        typer.Option(
            help="Fetch the whole log of each attempt that has ended into this folder.",
            file_okay=False,
            metavar="DIR",
        ),
    ] = None,
) -> None:
    """Print what the job's workers logged, or download it."""
    if download is not None:
        _fetch_logs(session, job, download)
        return
    found = session.client.list_log_lines(job)
    if session.is_json:
        session.resources(found)
        return
    for line in found:
        clock = line.time.ToDatetime().strftime("%H:%M:%S")
        session.out.print(f"[dim]{clock} #{line.attempt}[/] {escape(line.message)}", soft_wrap=True)


@app.command("artifacts")
@talks
def artifacts(
    session: Session,
    job: JobName,
    download: Annotated[
        Path | None,
        typer.Option(help="Fetch every file into this folder, verified.", file_okay=False, metavar="DIR"),
    ] = None,
) -> None:
    """List a job's results, or download them."""
    found = list(session.client.list_artifacts(job))
    if download is not None:
        fetch(session, found, download)
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["ARTIFACT", "FILE", "SIZE"],
        (
            [names.short(artifact.name), escape(file.path), size(file.size_bytes)]
            for artifact in found
            for file in artifact.files
        ),
        empty=f"No results yet. Watch the job: visiontune job watch {job}",
    )
    if download is not None and found:
        session.say(f"In {download}/: {', '.join(names.short(artifact.name) + '/' for artifact in found)}")


@app.command("samples")
@talks
def samples(
    session: Session,
    job: JobName,
    steps: Annotated[
        bool, typer.Option("--steps", help="Show what it said at every evaluation, example by example.")
    ] = False,
    example: Annotated[
        str, typer.Option(help="Only this example: its row in the version, or its full name.")
    ] = "",
) -> None:
    """Show what the model said about held-out examples before, while and after it was trained."""
    if example and "/" not in example:
        example = f"{session.client.get_job(job).spec.dataset_version}/examples/{example}"
    found = list(session.client.list_samples(job, example=example, with_answers=steps))
    if session.is_json:
        session.resources(found)
        return
    if steps:
        session.table(
            ["EXAMPLE", "STEP", "ANSWER", "EXPECTED"],
            (
                [names.short(s.example), f"{each.step:,}", views.quoted(each.text), views.quoted(s.expected)]
                for s in found
                for each in s.answers
            ),
            empty="No samples yet.",
        )
        return
    session.table(
        ["EXAMPLE", "PROMPT", "EXPECTED", "BEFORE", "AFTER"],
        (
            [names.short(s.example), *map(views.quoted, (s.prompt, s.expected, s.before, s.after))]
            for s in found
        ),
        empty="No samples yet.",
    )


@app.command("usage")
@talks
def usage(
    session: Session,
    job: Annotated[str, typer.Argument(help="Id or full name; the whole project when absent.")] = "",
) -> None:
    """Show accelerator hours, and what they cost where the operator named prices."""
    found = session.client.accelerator_usage(job)
    if session.is_json:
        session.resource(found)
        return
    session.table(
        ["ACCELERATOR", "HOURS", "COST"],
        (
            [
                escape(each.accelerator),
                f"{each.accelerator_hours:.2f}",
                f"{each.cost:.2f}" if each.HasField("cost") else "-",
            ]
            for each in found.usage
        ),
        empty="No accelerator hours yet.",
    )


@app.command("delete")
@talks
def delete(session: Session, job: JobName) -> None:
    """Delete an ended job with its checkpoints and artifacts; registered models stay."""
    session.client.delete_job(job)
    if session.is_json:
        session.raw({})
    else:
        session.say(f"Deleted {escape(job)}.")


def _fetch_logs(session: Session, job: str, folder: Path) -> None:
    from visiontune import uploads

    found = list(session.client.list_attempt_logs(job))
    try:
        with step(session.err, f"Downloading {size(sum(log.file.size_bytes for log in found))}"):
            uploads.download([log.file for log in found], folder)
    except OSError as error:
        raise Failed(f"{folder} cannot be written: {error.strerror}.") from error
    if session.is_json:
        session.resources(found)
        return
    session.table(
        ["ATTEMPT", "FILE", "SIZE"],
        ([str(log.attempt), str(folder / log.file.path), size(log.file.size_bytes)] for log in found),
        empty="No attempt has ended yet. See what there is: visiontune job logs JOB",
    )


def _wait(
    session: Session, job: "trainer_pb2.TrainingJob", doing: str, state: str = ""
) -> "trainer_pb2.TrainingJob":
    """The job, once it is in that state, or has ended."""
    with step(session.err, f"{doing} {names.short(job.name)}"):
        for update in session.client.watch_job(job.name):
            if update.HasField("training_job") and views.state_name(update.training_job) == state:
                return update.training_job
    return session.client.get_job(job.name)


def _say_state(session: Session, job: "trainer_pb2.TrainingJob") -> None:
    if session.is_json:
        session.resource(job)
    else:
        session.say(f"[bold]{names.short(job.name)}[/] {views.state(job)}")


def fetch(session: Session, found: "list[trainer_pb2.Artifact]", folder: Path) -> None:
    """Downloads artifacts, each into a folder of its name. Raises Failed when the disk refuses."""
    from visiontune import uploads

    total, done = sum(artifact.size_bytes for artifact in found), 0
    try:
        with step(session.err, f"Downloading {size(total)}") as update:
            for artifact in found:
                tell = partial(_tell_after, update, done, total)
                uploads.download(artifact.files, folder / names.short(artifact.name), tell)
                done += artifact.size_bytes
    except OSError as error:
        raise Failed(f"{folder} cannot be written: {error.strerror}.") from error


def _tell_after(update: Update, before: int, total: int, done: int, _of_this: int) -> None:
    """Progress of one artifact as progress of all."""
    update(before + done, total)
