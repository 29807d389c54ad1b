import io

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console
from rich.live import Live
from visiontune import errors, names
from visiontune.cli import views
from visiontune.cli.failures import Failed, explain
from visiontune.cli.progress import seconds, size, step
from visiontune.cli.session import Output, Session
from visiontune.cli.watching import Learning, LiveView, PlainView, require_success
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2

Update = trainer_pb2.WatchTrainingJobResponse


def metric(step: int, **values: float) -> trainer_pb2.WatchTrainingJobResponse:
    return Update(metric=trainer_pb2.MetricPoint(step=step, values=values))


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def said(error: Exception) -> str:
    console = Console(file=io.StringIO(), width=200)
    explain(error, console)
    return printed(console)


def test_stdout_that_belongs_to_a_program_gets_no_table() -> None:
    out, err = (Console(file=io.StringIO(), width=200) for _ in range(2))
    session = Session(output=Output.JSON, out=out, err=err)
    views.version(session, dataset_pb2.DatasetVersion(format="llava"), dataset_pb2.Statistics())
    session.table(["A"], [], empty="None yet.")
    assert printed(out) == ""
    assert "llava" in printed(err)
    assert "None yet." in printed(err)


def test_learning_adds_up_what_a_watch_tells() -> None:
    learning = Learning()
    job = trainer_pb2.TrainingJob(
        state=trainer_pb2.TrainingJob.STATE_RUNNING,
        progress=trainer_pb2.Progress(
            step=4, total_steps=10, phase="training", remaining=Duration(seconds=125)
        ),
        metrics_before={"exact_match": 0.1},
    )
    for update in (Update(training_job=job), metric(5, loss=1.5), metric(6, eval_exact_match=0.8)):
        learning.take(update)
    assert (learning.state, learning.step, learning.total_steps) == ("RUNNING", 6, 10)
    assert learning.remaining_s == 125
    assert (learning.loss, learning.before, learning.newest_accuracy) == (1.5, 0.1, 0.8)


def test_a_step_repeated_by_a_later_attempt_replaces_its_value() -> None:
    learning = Learning()
    for update in (metric(6, eval_exact_match=0.5), metric(6, eval_exact_match=0.6)):
        learning.take(update)
    assert learning.accuracy == {6: 0.6}


def test_without_a_terminal_each_event_and_each_evaluation_is_a_line() -> None:
    console, learning = Console(file=io.StringIO(), width=200), Learning(total_steps=10)
    view = PlainView(console, learning)
    event = trainer_pb2.Event(reason="QUEUED", message="Accepted [at last].")
    for update in (Update(event=event), metric(1, loss=2.0), metric(2, eval_exact_match=0.5)):
        learning.take(update)
        view.show(update)
    assert printed(console).splitlines() == [
        "QUEUED: Accepted [at last].",
        "step 2/10: held-out accuracy 50.0 %, loss 2.0000",
    ]


def test_a_job_that_failed_fails_the_command_with_its_reason() -> None:
    job = trainer_pb2.TrainingJob(
        name="projects/p/trainingJobs/j",
        state=trainer_pb2.TrainingJob.STATE_FAILED,
        state_message="Out of memory.",
    )
    with pytest.raises(Failed, match=r"j FAILED: Out of memory\."):
        require_success(job)


def test_a_failure_shows_each_violation_once_and_the_reason() -> None:
    violations = [errors.Violation("a.b", "must be above 0"), errors.Violation("", "said already")]
    text = said(errors.InvalidArgument("Wrong: said already", reason="InvalidJob", violations=violations))
    assert text.splitlines() == ["error: Wrong: said already", "  a.b: must be above 0", "reason: InvalidJob"]


def test_many_violations_are_counted() -> None:
    many = [errors.Violation(f"f{number}", "bad") for number in range(30)]
    assert "… and 10 more" in said(errors.InvalidArgument("Wrong.", violations=many))


def test_a_broken_upload_says_how_to_go_on() -> None:
    assert "--resume projects/p/uploads/u" in said(errors.UploadFailed("Broke.", "projects/p/uploads/u"))


def test_a_refusal_ends_with_the_reason_that_a_program_would_switch_on() -> None:
    assert said(Failed("Not imported.", "Look here.", "ImportRefused")).splitlines()[1:] == [
        "Look here.",
        "reason: ImportRefused",
    ]


def test_text_that_looks_like_markup_is_printed_as_it_is() -> None:
    assert "[red]x[/]" in said(Failed("[red]x[/]", "[bold]y"))


def test_a_report_shows_places_and_counts_the_rest() -> None:
    problem = dataset_pb2.Problem(text="a.tar.gz › train.jsonl:42 › $.image: no file [x].")
    rule = dataset_pb2.RuleSummary(
        rule="image-missing", severity=dataset_pb2.SEVERITY_ERROR, count=5, problems=[problem] * 2
    )
    console = Console(file=io.StringIO(), width=200)
    views.problems(console, dataset_pb2.ValidationReport(rules=[rule]))
    text = printed(console)
    assert text.count("no file [x].") == 2
    assert "image-missing 5×" in text
    assert "… and 3 more" in text


def test_a_step_on_no_terminal_is_one_line() -> None:
    console = Console(file=io.StringIO())
    with step(console, "Reading") as update:
        update(1, 2)
    assert printed(console).startswith("Reading: 0.0 s")


@pytest.mark.parametrize(("value", "text"), [(3.14, "3.1 s"), (125, "2 min 5 s"), (3840, "1 h 4 min")])
def test_durations_read_well(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 B"), (1_100_000, "1.1 MB"), (5 * 10**15, "5000.0 TB")]
)
def test_sizes_read_well(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("full", "short"),
    [
        ("projects/p/datasets/d", "d"),
        ("projects/p/datasets/d/versions/v1", "d/v1"),
        ("projects/p/trainingJobs/j", "j"),
        ("presets/tiny-llava", "presets/tiny-llava"),
    ],
)
def test_names_are_short_for_people(full: str, short: str) -> None:
    assert names.short(full) == short


@pytest.mark.parametrize("text", ["d", "d/", "/v1", "a/b/c", ""])
def test_what_is_no_version_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="DATASET/VERSION"):
        names.version(text, "projects/p")


def test_what_an_untrained_model_says_cannot_drive_the_terminal() -> None:
    assert views.quoted("a\x1b[31m\n[b]") == "a·[31m·\\[b]"


def test_the_live_picture_shows_progress_loss_and_accuracy_as_it_rises() -> None:
    console = Console(file=io.StringIO(), width=120)
    learning = Learning(state="RUNNING", step=5, total_steps=10, before=0.1, message="On its way.")
    learning.remaining_s = 125
    learning.take(metric(5, loss=0.25, eval_exact_match=0.8))
    with Live(console=console) as live:
        console.print(LiveView(live, "digits-1", learning).render())
    picture = printed(console)
    assert "digits-1 running" in picture
    assert "5/10" in picture
    assert "loss 0.2500" in picture
    assert "about 2 min 5 s left" in picture
    assert "10.0 % → 80.0 %" in picture
    assert "On its way." in picture
