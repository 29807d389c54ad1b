"""Bytes of memory of one process that trains, by part. Formulas and their sources: docs/estimates.md."""

from dataclasses import dataclass

from visiontune_recipes.estimate.layers import Layers
from visiontune_recipes.estimate.sizes import Sizes
from visiontune_recipes.spec import (
    Adaptation,
    Hyperparameters,
    Objective,
    Optimiser,
    Precision,
    Quantisation,
    Spec,
)

MIB = 1024**2
# The program with torch, transformers and what they load at the first step, as measured; and what CUDA holds
# before the first weight.
CPU_BASE = 980 * MIB
GPU_BASE = 800 * MIB
# Of what an accelerator holds, for blocks that its allocator keeps.
GPU_SLACK = 1.1
# In main memory gradients come as activations go, but do not always fit into what these leave: so much of the
# smaller of the two comes on top. Fitted, as is told in the docs.
CPU_OVERLAP = 0.5
# In main memory, of what a tower computes without gradients: what was freed between blocks that stay is often
# too small for what is asked for next, and is not given back. Fitted, too.
CPU_LEFT_OVER = 1.5
# Likewise, times what a matrix with an adapter gives: the weights' part, the adapter's and that scaled are
# made beside their sum, which alone stays. Fitted, too.
CPU_LEFT_BY_ADAPTER = 2
# Copies of the logits, all float32: in a training pass their softmax and two gradients, in an evaluation
# themselves and their softmax.
TRAINED_COPIES, MEASURED_COPIES = 3, 2
# Of a worker: examples of an evaluation's pass for one of training, and at most; passes whose examples it
# holds; steps whose batches are ready, in the making or in use; bytes of examples that it keeps of a split.
MEASURED_TIMES, MOST_MEASURED, MEASURED_WINDOW = 4, 128, 8
STEPS_HELD = 6
KEPT_BYTES = 256 * MIB
_FLOAT = 4
_HALF = 2
# Bytes a parameter: quantised weights with their scales, and the optimiser's state.
_QUANTISED = {Quantisation.NF4: 0.52, Quantisation.INT8: 1.0}
_STATE = {Optimiser.ADAMW: 8.0, Optimiser.ADAMW_8BIT: 2.0, Optimiser.ADAFACTOR: 0.1}


@dataclass(frozen=True, slots=True)
class Pass:
    """The largest forward and backward pass of a job, and the examples around it."""

    examples: int
    text_tokens: int  # of an example, images aside
    image_tokens: int  # of an example in the language model
    patches: int  # of an example in the vision tower
    answer_tokens: int  # of an example, of which logits are made
    pixels_bytes: int = 0  # of an example's pictures as the tower takes them
    passes: int = 1  # of a step
    steps: int = 1
    train_count: int = 0
    validation_count: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by part. They are not held all at once."""

    base: int
    data: int  # examples in main memory; 0 on an accelerator
    weights: int
    gradients: int
    optimiser: int
    activations: int  # of text
    images: int  # activations of the vision tower and of image tokens
    logits: int
    evaluation: int  # of a pass that measures
    on_gpu: bool = False

    @property
    def peak(self) -> int:
        """Most that is held at once: gradients come as activations go, and are gone when it is measured."""
        kept = self.activations + self.images + self.logits
        training = max(kept, self.gradients)
        if not self.on_gpu:
            training += round(CPU_OVERLAP * min(kept, self.gradients))
        held = self.weights + self.optimiser + max(training, self.evaluation)
        return self.base + self.data + round(held * (GPU_SLACK if self.on_gpu else 1))


def trainable(sizes: Sizes, adaptation: Adaptation, numbers: Hyperparameters) -> int:
    """Parameters that change: of whole parts what a step reaches, and adapters beside others.

    More losses than the family's first are taken to reach everything.
    """
    reaches_all = len(numbers.losses or ()) > 1
    of_part = {
        "language_model": sizes.language_parameters,
        "vision_tower": sizes.vision_parameters,
        "projector": sizes.projector_parameters,
    }
    whole = sum(of_part[part] - (0 if reaches_all else sizes.unread_of(part)) for part in adaptation.whole())
    rank = adaptation.lora.rank if adaptation.lora and adaptation.lora.rank else 0
    beside = 0
    if "language_model" in adaptation.adapted():
        beside += sizes.language.lora_parameters(rank)
    if "vision_tower" in adaptation.adapted() and sizes.vision:
        read = sizes.vision.count - sizes.unread_layers
        beside += sizes.towers * sizes.vision.lora_parameters(rank) * read // sizes.vision.count
    return whole + beside


def memory_of(sizes: Sizes, spec: Spec, largest: Pass, *, on_gpu: bool) -> Memory:
    """Memory of a resolved spec's largest pass, in one process that holds all weights.

    What trains is float32, and with METHOD_FULL all is; else what is frozen is of 16 bits, and so is what is
    computed, unless it is PRECISION_FP32: then of what trains there is a copy of 16 bits during a pass.
    """
    adaptation, numbers = spec.adaptation, spec.hyperparameters
    width = _FLOAT if numbers.precision in {None, Precision.FP32} else _HALF
    changing = trainable(sizes, adaptation, numbers)
    # An adapter's copies of whole parts stand beside the parts themselves.
    frozen = sizes.parameters if adaptation.by_adapter else max(0, sizes.parameters - changing)
    kept = width if adaptation.by_adapter else _FLOAT
    # What answers are preferred by is the model at the start, unless that is an adapter that is switched off.
    if spec.objective is Objective.PREFERENCE and (not adaptation.by_adapter or adaptation.continue_adapter):
        frozen += sizes.parameters
    checkpointing = bool(numbers.gradient_checkpointing)
    batch = largest.examples * width
    beside = frozenset() if on_gpu else adaptation.adapted()
    language = batch * _per_token(
        sizes.language, checkpointing=checkpointing, adapted="language_model" in beside
    )
    tower = 0.0
    if sizes.vision and "vision_tower" in adaptation.trains():
        adapted = "vision_tower" in beside
        layers = _per_token(sizes.vision, checkpointing=checkpointing, adapted=adapted)
        tower = batch * largest.patches * layers
    elif sizes.vision:
        tower = batch * largest.patches * _values(sizes.vision) * _left_over(on_gpu=on_gpu)
    answers = largest.examples * largest.answer_tokens
    return Memory(
        base=GPU_BASE if on_gpu else CPU_BASE,
        data=0 if on_gpu else _held(largest),
        weights=round(
            changing * (_FLOAT if width == _FLOAT else _FLOAT + _HALF)
            + frozen * (_QUANTISED[adaptation.quantisation] if adaptation.quantisation else kept)
        ),
        gradients=changing * _FLOAT,
        optimiser=round(changing * _STATE[numbers.optimiser or Optimiser.ADAMW]),
        activations=round(language * largest.text_tokens),
        images=round(language * largest.image_tokens + tower),
        logits=_logits(sizes, answers, trains_head="language_model" in adaptation.whole()),
        evaluation=_evaluation(sizes, largest, width, on_gpu=on_gpu),
        on_gpu=on_gpu,
    )


def _logits(sizes: Sizes, answers: int, *, trains_head: bool) -> int:
    """Bytes of scores at so many tokens; the head's gradient comes while all activations are still there."""
    if not sizes.has_head:
        return 0
    head = sizes.language.width if trains_head else 0
    return sizes.vocabulary * (answers * TRAINED_COPIES + head) * _FLOAT


def _held(largest: Pass) -> int:
    """Bytes of examples in main memory: what is kept of each split, and what is on its way to a step."""
    each = largest.pixels_bytes
    kept = [min(KEPT_BYTES, count * each) for count in (largest.train_count, largest.validation_count)]
    ahead = min(STEPS_HELD, largest.steps) * largest.examples * largest.passes * each
    measured = min(largest.validation_count, MEASURED_WINDOW * _measured(largest)) * each
    return sum(kept) + max(ahead, measured)


def _measured(largest: Pass) -> int:
    """Examples of a pass that measures."""
    return min(MOST_MEASURED, MEASURED_TIMES * largest.examples, max(1, largest.validation_count))


def _evaluation(sizes: Sizes, largest: Pass, width: int, *, on_gpu: bool) -> int:
    """Bytes of a pass that measures: pictures, one layer, what is remembered of a token in each, logits."""
    count = _measured(largest)
    layer = _values(sizes.language) + 2 * sizes.language.count * sizes.language.kv_width
    tower = _values(sizes.vision) * largest.patches if sizes.vision else 0
    tower *= _left_over(on_gpu=on_gpu)
    computed = width * max(layer * (largest.text_tokens + largest.image_tokens), tower)
    logits = largest.answer_tokens * sizes.vocabulary * MEASURED_COPIES * _FLOAT if sizes.has_head else 0
    return round(count * (largest.pixels_bytes + max(computed, logits)))


def _values(layers: Layers) -> float:
    """Numbers that one layer keeps of a token: what its matrices, norms and its attention are given."""
    # Keys and values that several heads share are repeated for each of them.
    shared = 2 * layers.kv_width if layers.kv_heads < layers.heads else 0
    attention = 4 * layers.attention_width + shared
    if layers.gated:
        return 6 * layers.width + attention + 4 * layers.inner
    return 4 * layers.width + attention + (3 if layers.quick else 2) * layers.inner


def _per_token(layers: Layers, *, checkpointing: bool, adapted: bool) -> float:
    """Numbers held of a token; with checkpointing the inputs of all layers and one layer whole.

    adapted: there are adapters, in main memory.
    """
    one = _values(layers) + (_more_by_adapters(layers) if adapted else 0.0)
    if checkpointing:
        return layers.count * layers.width + one
    return layers.count * one


def _more_by_adapters(layers: Layers) -> float:
    """Numbers of a token that a layer holds more with adapters.

    A gated one's norms scale what they have divided, and keep that only if their weights train.
    """
    norms = 2 * layers.width if layers.gated else 0
    return CPU_LEFT_BY_ADAPTER * layers.given_width - norms


def _left_over(*, on_gpu: bool) -> float:
    """By how much more a tower without gradients holds than one layer keeps."""
    return 1 if on_gpu else CPU_LEFT_OVER
