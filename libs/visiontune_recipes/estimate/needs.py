"""What a resolved job needs: tokens, memory, work; where it fits, and what to change where it does not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from visiontune_recipes.estimate.memory import Memory, Pass, memory_of, trainable
from visiontune_recipes.estimate.sizes import Sizes
from visiontune_recipes.facts import Lengths
from visiontune_recipes.resolve import resolve_lora
from visiontune_recipes.spec import Adaptation, Hyperparameters, Method, Precision, Quantisation, Spec

# Part of an accelerator's speed at bfloat16 that training is taken to reach; large models get 0.3 to 0.5
# (Korthikanti et al. 2022, arXiv:2205.05198, table 5), small ones less.
UTILISATION = 0.3


@dataclass(frozen=True, slots=True)
class Card:
    """A kind of accelerator. None: the operator did not say."""

    name: str
    memory_bytes: int | None
    flops: float | None  # in a second, at bfloat16
    price_per_hour: float | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of examples, with those of their images."""

    median: int
    p95: int
    max: int
    median_image: int
    max_image: int


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


@dataclass(frozen=True, slots=True)
class Needs:
    """All that is known before a job starts."""

    total_parameters: int
    trainable_parameters: int
    tokens: Tokens
    memory: Memory
    training_flops: float
    fits: tuple[Fit, ...]


def needs(
    asked: Spec,
    spec: Spec,
    sizes: Sizes,
    lengths: Lengths,
    steps: int,
    methods: Sequence[Method],
    cards: Sequence[Card],
) -> Needs:
    """What a job needs. spec: `asked`, resolved. steps: of this job. methods: those of its family."""
    on_gpu = spec.resources.accelerator_count > 0
    numbers = spec.hyperparameters
    tokens = tokens_of(sizes, lengths, numbers.max_length or 1)
    work = steps * examples_of_step(numbers) * flops_of_example(sizes, spec, lengths)
    # What is chosen for processors is chosen otherwise on an accelerator.
    precision = asked.hyperparameters.precision or Precision.BF16
    there = spec.model_copy(update={"hyperparameters": numbers.model_copy(update={"precision": precision})})
    return Needs(
        total_parameters=sizes.parameters,
        trainable_parameters=trainable(sizes, spec.adaptation),
        tokens=tokens,
        memory=_memory(spec, sizes, tokens, lengths, on_gpu=on_gpu),
        training_flops=work,
        fits=tuple(_fit(there, sizes, tokens, lengths, work, methods, card) for card in cards),
    )


def tokens_of(sizes: Sizes, lengths: Lengths, max_length: int) -> Tokens:
    """Tokens of examples. Those of images count a picture of that width and that height for each."""

    def images(of: str) -> int:
        each = sizes.tokens_of_image(getattr(lengths.width_px, of), getattr(lengths.height_px, of))
        return int(getattr(lengths.images, of) * each)

    def whole(of: str) -> int:
        return min(max_length, int(getattr(lengths.text_tokens, of)) + images(of))

    return Tokens(
        median=whole("median"),
        p95=whole("p95"),
        max=whole("max"),
        median_image=images("median"),
        max_image=images("max"),
    )


def examples_of_step(numbers: Hyperparameters) -> int:
    """Examples of one optimiser step, over all processes."""
    return (numbers.batch_size or 1) * (numbers.gradient_accumulation_steps or 1)


def flops_of_example(sizes: Sizes, spec: Spec, lengths: Lengths) -> float:
    """Operations of one example, forward and backward: 6 for a parameter that trains and a token.

    2 of them are the forward pass, 2 the gradients of activations, 2 those of weights (Kaplan et al. 2020,
    arXiv:2001.08361). Frozen layers below all that trains have the first alone; checkpointing repeats it.
    """
    adaptation = spec.adaptation
    of_image = sizes.tokens_of_image(lengths.width_px.mean, lengths.height_px.mean)
    tokens = lengths.text_tokens.mean + lengths.images.mean * of_image
    again = 2 if spec.hyperparameters.gradient_checkpointing else 0
    head = sizes.vocabulary * sizes.language.width if sizes.has_head else 0
    speaks = sizes.language.parameters + head
    per_weight = 6 if "language_model" in adaptation.whole() else 4
    work = (per_weight + again) * speaks * tokens
    patches = lengths.images.mean * sizes.patches(lengths.width_px.mean, lengths.height_px.mean)
    trains = "vision_tower" in adaptation.trains()
    return work + (6 + again if trains else 2) * sizes.vision_parameters * patches


def _memory(spec: Spec, sizes: Sizes, tokens: Tokens, lengths: Lengths, *, on_gpu: bool) -> Memory:
    resources, numbers = spec.resources, spec.hyperparameters
    processes = max(1, resources.accelerator_count) * resources.node_count
    here = min(numbers.batch_size or 1, -(-examples_of_step(numbers) // processes))
    pictures = lengths.images.max
    largest = Pass(
        examples=here,
        text_tokens=max(0, tokens.max - tokens.max_image),
        image_tokens=min(tokens.max, tokens.max_image),
        patches=round(pictures * sizes.patches(lengths.width_px.max, lengths.height_px.max)),
    )
    return memory_of(sizes, spec.adaptation, numbers, largest, on_gpu=on_gpu)


def _fit(
    spec: Spec,
    sizes: Sizes,
    tokens: Tokens,
    lengths: Lengths,
    work: float,
    methods: Sequence[Method],
    card: Card,
) -> Fit:
    def needed(of: Spec) -> int:
        return _memory(of, sizes, tokens, lengths, on_gpu=True).peak

    fits = None if card.memory_bytes is None else needed(spec) <= card.memory_bytes
    changes: tuple[Change, ...] = ()
    if fits is False and card.memory_bytes is not None:
        tried = smaller(spec, methods)
        changes = next((how for how, less in tried if needed(less) <= card.memory_bytes), ())
    count = max(1, spec.resources.accelerator_count) * spec.resources.node_count
    duration_s = None
    if card.flops and spec.hyperparameters.precision is not Precision.FP32:
        duration_s = work / (card.flops * UTILISATION * count)
    cost = None
    if duration_s is not None and card.price_per_hour is not None:
        cost = duration_s / 3600 * card.price_per_hour * count
    return Fit(card.name, needed(spec), card.memory_bytes, fits, duration_s, cost, changes)


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
