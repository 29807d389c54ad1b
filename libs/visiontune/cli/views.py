"""What people see of resources: pure text from messages, and a few tables."""

from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from visiontune import names
from visiontune.cli.progress import size

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from visiontune.cli.session import Session
    from visiontune.dataset.v1 import dataset_pb2
    from visiontune.trainer.v1 import augmentation_pb2, trainer_pb2

MOST_PROBLEMS = 20
COLOURS = {
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "RETRYING": "yellow",
    "PAUSED": "yellow",
    "RUNNING": "cyan",
}
# The measures that say most about a model: it has the one of what it was trained for.
ACCURACY = ("exact_match", "rouge_l", "preference_accuracy", "image_to_text_recall_at_1", "ndcg_at_5")


def when(time: "Timestamp") -> str:
    """Local time to the minute; `-` when absent."""
    if not time.seconds:
        return "-"
    return datetime.fromtimestamp(time.seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def percent(value: float | None) -> str:
    """`91.2 %`; `-` when unknown."""
    return "-" if value is None else f"{100 * value:.1f} %"


def share(used: int, limit: int) -> str:
    """`82 %` of a limit, red from 100 and yellow from 80 on; empty without a limit."""
    if limit <= 0:
        return ""
    percent_used = 100 * used // limit
    colour = "red" if percent_used >= 100 else "yellow" if percent_used >= 80 else ""
    return f"[{colour}]{percent_used} %[/]" if colour else f"{percent_used} %"


def accuracy(metrics: "dict[str, float]") -> float | None:
    """Held-out accuracy as jobs name it, or evaluations; None when it was not measured."""
    found = (key for name in ACCURACY for key in (name, f"eval_{name}") if key in metrics)
    return next((metrics[key] for key in found), None)


def quoted(text: str) -> str:
    """What a model said, on one line: an untrained one says anything, control characters included."""
    return escape("".join(character if character.isprintable() else "·" for character in text))


def state(job: "trainer_pb2.TrainingJob") -> str:
    """`RUNNING`, coloured."""
    name = state_name(job)
    return f"[{COLOURS[name]}]{name}[/]" if name in COLOURS else name


def state_name(job: "trainer_pb2.TrainingJob") -> str:
    """`RUNNING`."""
    return type(job).State.Name(job.state).removeprefix("STATE_")


def splits(counts: "dict[str, int]") -> str:
    """`train 1,620, validation 177`."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def imported(
    version: "dataset_pb2.DatasetVersion", metadata: "dataset_pb2.ImportVersionMetadata | None" = None
) -> str:
    """One line about an import, or a commit, that ended well."""
    verb = "Committed" if version.draft else "Imported"
    verb = "Unchanged: equal to" if metadata and metadata.unchanged else verb
    warnings = f", {metadata.warning_count:,} warnings" if metadata and metadata.warning_count else ""
    saved = f", {size(metadata.saved_bytes)} saved" if metadata and metadata.saved_bytes else ""
    return (
        f"{verb} [bold]{names.short(version.name)}[/]: {version.example_count:,} examples, "
        f"{version.image_count:,} images ({splits(dict(version.split_counts))}){warnings}{saved}"
    )


def version(
    session: "Session", found: "dataset_pb2.DatasetVersion", numbers: "dataset_pb2.Statistics"
) -> None:
    """A version with its statistics."""
    rows = [
        ["version", names.short(found.name)],
        ["digest", found.digest],
        ["format", found.format],
        ["examples", f"{found.example_count:,} ({splits(dict(found.split_counts))})"],
        [
            "images",
            f"{numbers.image_count:,}, {size(numbers.image_bytes)} ({splits(dict(numbers.format_counts))})",
        ],
        ["image width", spread(numbers.width_px, "px")],
        ["image height", spread(numbers.height_px, "px")],
        ["aspect ratio", spread(numbers.aspect_ratio, "width / height")],
        ["image size", spread(numbers.size_bytes, "bytes")],
        ["brightness", spread(numbers.brightness, "of 255")],
        ["text length", spread(numbers.text_length, "characters")],
        ["tokens", spread(numbers.token_count, "an example, by estimate")],
        ["messages", spread(numbers.messages_per_example, "an example")],
        ["answers", answers(numbers)],
        ["duplicates", f"{numbers.duplicate_example_count:,}"],
        ["made of", made_of(found)],
        ["created", when(found.create_time)],
    ]
    session.table(["", ""], ([f"[bold]{label}[/]", escape(value)] for label, value in rows), empty="")


def made_of(version: "dataset_pb2.DatasetVersion") -> str:
    """`digits.tar.gz`, or `digits/v1 + draft-x` for one that edits made."""
    made = [names.short(version.parent_version)] if version.parent_version else []
    made += [version.source_filename] if version.source_filename else []
    made += [names.short(version.draft)] if version.draft else []
    return " + ".join(made)


def spread(values: "dataset_pb2.Distribution", unit: str) -> str:
    """`32 px`, or `8 to 640, median 320 px`."""
    if not values.count:
        return "-"
    if values.min == values.max:
        return f"{values.min:,.4g} {unit}"
    return f"{values.min:,.4g} to {values.max:,.4g}, median {values.median:,.4g} {unit}"


def answers(numbers: "dataset_pb2.Statistics") -> str:
    """The most frequent answers with their counts."""
    top = ", ".join(f"{entry.label!r} {entry.count:,}" for entry in numbers.top_answers[:10])
    more = numbers.distinct_answer_count - min(10, len(numbers.top_answers))
    return f"{top}, … {more:,} more" if more > 0 else top or "-"


def report(session: "Session", found: "dataset_pb2.ValidationReport", can_import: bool | None = None) -> None:
    """A whole validation report; `can_import` is for one that no import made."""
    result = f"made {names.short(found.version)}" if found.version else "made no version"
    if found.in_progress:
        result = "is being imported, so far"
    if can_import is not None:
        result = "can be imported" if can_import else "would be refused"
    session.out.print(
        f"[bold]{escape(found.filename)}[/] {result}: {found.record_count:,} records, "
        f"{found.example_count:,} examples, {found.skipped_count:,} left out, "
        f"{found.error_count:,} errors, {found.warning_count:,} warnings",
        soft_wrap=True,
    )
    problems(session.out, found, most=None)


def problems(
    console: Console, found: "dataset_pb2.ValidationReport", most: int | None = MOST_PROBLEMS
) -> None:
    """The places of each broken rule, one a line."""
    shown = 0
    for rule in found.rules:
        colour = (
            "red"
            if "ERROR"
            in type(found).DESCRIPTOR.file.enum_types_by_name["Severity"].values_by_number[rule.severity].name
            else "yellow"
        )
        console.print(f"[{colour}]{escape(rule.rule)}[/] {rule.count:,}×")
        for problem in rule.problems[: None if most is None else max(0, most - shown)]:
            console.print(f"  {escape(problem.text)}", soft_wrap=True)
            shown += 1
        if rule.count > len(rule.problems):
            console.print(f"  [dim]… and {rule.count - len(rule.problems):,} more[/]")


def job(
    session: "Session",
    found: "trainer_pb2.TrainingJob",
    used: "trainer_pb2.GetAcceleratorUsageResponse",
) -> None:
    """One job with what it used."""
    spec = found.resolved_spec if found.HasField("resolved_spec") else found.spec
    before, after = accuracy(dict(found.metrics_before)), accuracy(dict(found.metrics_after))
    rows = [
        ["job", names.short(found.name)],
        ["state", state(found)],
        ["", escape(found.state_message)],
        ["model", escape(base_model(spec.base_model))],
        ["data", escape(names.short(spec.dataset_version))],
        ["LoRA layers", escape(spec.adaptation.lora.target_modules) or "-"],
        ["augmentation", escape(augmentation(found.spec.augmentation))],
        ["step", f"{found.progress.step:,} of {found.progress.total_steps:,}"],
        ["held-out accuracy", f"{percent(before)} before, {percent(after)} now"],
        ["best evaluation", best(found.progress) or "-"],
        ["attempt", str(found.attempt)],
        ["accelerator hours", escape(hours(used)) or "-"],
        ["spec digest", found.spec_digest],
        ["created", when(found.create_time)],
        ["ended", when(found.end_time)],
    ]
    session.table(["", ""], ([f"[bold]{label}[/]", value] for label, value in rows), empty="")


def best(progress: "trainer_pb2.Progress") -> str:
    """`loss 0.1234 at step 120, 2 evaluations since without progress`; empty before the first."""
    found = progress.best
    if not progress.HasField("best"):
        return ""
    since = found.evaluations_without_progress
    waited = f", {since} evaluation{'s' * (since != 1)} since without progress" if since else ""
    return f"{found.metric} {found.value:.4f} at step {found.step:,}{waited}"


def augmentation(policy: "augmentation_pb2.Augmentation") -> str:
    """`light`, or the names of the transforms; `none`."""
    if policy.transforms:
        return ", ".join(each.name for each in policy.transforms)
    name = type(policy).Preset.Name(policy.preset).removeprefix("PRESET_").lower()
    return name if policy.preset else "none"


def hours(used: "trainer_pb2.GetAcceleratorUsageResponse") -> str:
    """`1.50 nvidia-l4`, and what they cost where it is known; empty when none were counted."""
    return ", ".join(
        f"{each.accelerator_hours:.2f} {each.accelerator}"
        + (f" (cost {each.cost:.2f})" if each.HasField("cost") else "")
        for each in used.usage
    )


def base_model(base: "trainer_pb2.BaseModel") -> str:
    """`presets/tiny-llava`, `hub owner/name`, a folder, or a model's id."""
    match base.WhichOneof("source"):
        case "preset":
            return f"presets/{base.preset}"
        case "hub":
            return f"{base.hub.repo_id}@{base.hub.revision or 'main'}"
        case "model":
            return names.short(base.model)
        case _:
            return base.path


def duration_s(found: "trainer_pb2.TrainingJob") -> float:
    """Seconds from first claim to end; 0 while unknown."""
    if not (found.start_time.seconds and found.end_time.seconds):
        return 0.0
    return (found.end_time.ToMilliseconds() - found.start_time.ToMilliseconds()) / 1000
