"""What a resolved job needs: tokens, memory, work; where it fits, and what to change where it does not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from visiontune_recipes.estimate.memory import Memory, trainable
from visiontune_recipes.estimate.work import Tokens, Work, examples_of_step
from visiontune_recipes.resolve import evaluations_after, resolve_lora
from visiontune_recipes.spec import Adaptation, Hyperparameters, Method, Precision, Quantisation, Spec

# Part of an accelerator's speed at bfloat16 that training is taken to reach; large models get 0.3 to 0.5
# (Korthikanti et al. 2022, arXiv:2205.05198, table 5), small ones less.
UTILISATION = 0.3


@dataclass(frozen=True, slots=True)
class Speed:
    """Samples a second that an earlier job reached. evaluated: by those held out; None: not known.

    first_evaluated: in its first evaluation, which is slower, as an untrained model does not end its answers.
    """

    trained: float
    evaluated: float | None = None
    first_evaluated: float | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A kind of accelerator. None: the operator did not say."""

    name: str
    memory_bytes: int | None
    flops: float | None  # in a second, at bfloat16
    price_per_hour: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A field of the spec, and what to set it to."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Fit:
    """A job on one kind of accelerator."""

    accelerator: str
    needed_bytes: int
    memory_bytes: int | None
    fits: bool | None
    duration_s: float | None
    cost: float | None
    changes: tuple[Change, ...] = ()
    measured_speed: float | None = None  # samples a second of earlier jobs, by which the duration is told


@dataclass(frozen=True, slots=True)
class Needs:
    """All that is known before a job starts."""

    total_parameters: int
    trainable_parameters: int
    tokens: Tokens
    memory: Memory
    training_flops: float
    fits: tuple[Fit, ...]
    measured_speed: float | None = None  # samples a second of earlier jobs where this one asks to run
    duration_s: float | None = None  # by that; None without


def needs(
    asked: Spec,
    spec: Spec,
    work: Work,
    steps: int,
    methods: Sequence[Method],
    cards: Sequence[Card],
    speeds: Mapping[str, Speed],
) -> Needs:
    """What a job needs. spec: `asked`, resolved. steps: of this job. methods: those of its family.

    speeds: those that earlier jobs reached, by accelerator; "" stands for processors.
    """
    numbers = spec.hyperparameters
    # What is chosen for processors is chosen otherwise on an accelerator.
    there = spec
    if not spec.resources.accelerator_count:
        precision = asked.hyperparameters.precision or Precision.BF16
        there = spec.model_copy(
            update={"hyperparameters": numbers.model_copy(update={"precision": precision})}
        )
    speed = speeds.get(spec.resources.accelerator)
    return Needs(
        total_parameters=work.sizes.parameters,
        trainable_parameters=trainable(work.sizes, spec.adaptation, numbers),
        tokens=work.tokens(numbers.max_length or 1),
        memory=work.memory(spec, steps, on_gpu=spec.resources.accelerator_count > 0),
        training_flops=steps * examples_of_step(numbers) * work.flops(spec),
        fits=tuple(_fit(there, work, steps, methods, card, speeds.get(card.name)) for card in cards),
        measured_speed=speed.trained if speed else None,
        duration_s=duration_of(spec, work, steps, speed) if speed else None,
    )


def duration_of(spec: Spec, work: Work, steps: int, speed: Speed) -> float:
    """Seconds of the steps, and of evaluations before, among and after them where their speed is known."""
    trained_s = steps * examples_of_step(spec.hyperparameters) / speed.trained
    if not speed.evaluated:
        return trained_s
    first, last = spec.first_step, spec.first_step + steps
    later = evaluations_after(first, last, spec.evaluation.every_steps or last)
    of_example_s = 1 / (speed.first_evaluated or speed.evaluated) + later / speed.evaluated
    return trained_s + work.held_out(spec) * of_example_s


def _fit(
    spec: Spec, work: Work, steps: int, methods: Sequence[Method], card: Card, speed: Speed | None
) -> Fit:
    def needed(of: Spec) -> int:
        return work.memory(of, steps, on_gpu=True).peak

    fits = None if card.memory_bytes is None else needed(spec) <= card.memory_bytes
    changes: tuple[Change, ...] = ()
    if fits is False and card.memory_bytes is not None:
        tried = smaller(spec, methods)
        changes = next((how for how, less in tried if needed(less) <= card.memory_bytes), ())
    count = max(1, spec.resources.accelerator_count) * spec.resources.node_count
    examples = steps * examples_of_step(spec.hyperparameters)
    duration_s = None
    if speed:
        duration_s = duration_of(spec, work, steps, speed)
    elif card.flops and spec.hyperparameters.precision is not Precision.FP32:
        duration_s = examples * work.flops(spec) / (card.flops * UTILISATION * count)
    cost = None
    if duration_s is not None and card.price_per_hour is not None:
        cost = duration_s / 3600 * card.price_per_hour * count
    trained = speed.trained if speed else None
    return Fit(card.name, needed(spec), card.memory_bytes, fits, duration_s, cost, changes, trained)


def smaller(spec: Spec, methods: Sequence[Method]) -> Iterator[tuple[tuple[Change, ...], Spec]]:
    """Specs of the same step that need less memory, those first that change least of what is learnt."""
    for adapted, how in _adaptations(spec.adaptation, methods):
        for checkpointing in sorted({bool(spec.hyperparameters.gradient_checkpointing), True}):
            for numbers, halved in _batches(spec.hyperparameters):
                changes = [*how, *halved]
                if checkpointing and not numbers.gradient_checkpointing:
                    changes.append(Change("hyperparameters.gradient_checkpointing", "true"))
                told = numbers.model_copy(update={"gradient_checkpointing": checkpointing or None})
                yield tuple(changes), spec.model_copy(update={"adaptation": adapted, "hyperparameters": told})


def _batches(numbers: Hyperparameters) -> Iterator[tuple[Hyperparameters, list[Change]]]:
    """Halves of the batch with twice the accumulation, as long as the step stays the same."""
    batch, times = numbers.batch_size or 1, numbers.gradient_accumulation_steps or 1
    yield numbers, []
    while batch % 2 == 0:
        batch, times = batch // 2, times * 2
        yield (
            numbers.model_copy(update={"batch_size": batch, "gradient_accumulation_steps": times}),
            [
                Change("hyperparameters.batch_size", str(batch)),
                Change("hyperparameters.gradient_accumulation_steps", str(times)),
            ],
        )


def _adaptations(
    adaptation: Adaptation, methods: Sequence[Method]
) -> Iterator[tuple[Adaptation, list[Change]]]:
    yield adaptation, []
    order = (Method.FULL, Method.LORA, Method.QLORA)
    asked = adaptation.method or Method.FULL
    for method in order[order.index(asked) + 1 :]:
        if method in methods:
            kept = Quantisation.NF4 if method is Method.QLORA else None
            update = {"method": method, "quantisation": kept, "lora": resolve_lora(adaptation.lora)}
            yield adaptation.model_copy(update=update), [Change("adaptation.method", method)]
