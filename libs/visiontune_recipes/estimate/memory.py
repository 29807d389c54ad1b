"""Bytes of memory of one process that trains, by part. Formulas and their sources: docs/estimates.md."""

from dataclasses import dataclass

from visiontune_recipes.estimate.sizes import Layers, Sizes
from visiontune_recipes.spec import Adaptation, Hyperparameters, Optimiser, Precision, Quantisation

MIB = 1024**2
# The program with torch and transformers, as measured; and what CUDA holds before the first weight.
CPU_BASE = 700 * MIB
GPU_BASE = 800 * MIB
# Of what is computed on an accelerator, for blocks that its allocator keeps.
GPU_SLACK = 1.1
# Copies of the logits in a training pass: in the model's type, float32, log-softmax and gradients.
LOGITS_COPIES = 7
_FLOAT = 4
_HALF = 2
# Bytes a parameter: quantised weights with their scales, and the optimiser's state.
_QUANTISED = {Quantisation.NF4: 0.52, Quantisation.INT8: 1.0}
_STATE = {Optimiser.ADAMW: 8.0, Optimiser.ADAMW_8BIT: 2.0, Optimiser.ADAFACTOR: 0.1}


@dataclass(frozen=True, slots=True)
class Pass:
    """The largest forward and backward pass of a job."""

    examples: int
    text_tokens: int  # of an example, images aside
    image_tokens: int  # of an example in the language model
    patches: int  # of an example in the vision tower


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by part. They are not held all at once."""

    base: int
    weights: int
    gradients: int
    optimiser: int
    activations: int  # of text
    images: int  # activations of the vision tower and of image tokens
    logits: int
    slack: float = 1.0

    @property
    def peak(self) -> int:
        """Most that is held at once: gradients come as activations go."""
        passing = max(self.activations + self.images + self.logits, self.gradients)
        return self.base + round(self.slack * (self.weights + self.optimiser + passing))


def trainable(sizes: Sizes, adaptation: Adaptation) -> int:
    """Parameters that change: whole parts, and adapters beside others."""
    of_part = {
        "language_model": sizes.language_parameters,
        "vision_tower": sizes.vision_parameters,
        "projector": sizes.projector_parameters,
    }
    whole = sum(of_part[part] for part in adaptation.whole())
    if whole and adaptation.whole() >= {part for part, count in of_part.items() if count}:
        return sizes.parameters
    rank = adaptation.lora.rank if adaptation.lora and adaptation.lora.rank else 0
    beside: dict[str, Layers | None] = {"language_model": sizes.language, "vision_tower": sizes.vision}
    adapted = [beside.get(part) for part in adaptation.adapted()]
    return whole + sum(layers.lora_parameters(rank) for layers in adapted if layers)


def memory_of(
    sizes: Sizes, adaptation: Adaptation, numbers: Hyperparameters, largest: Pass, *, on_gpu: bool
) -> Memory:
    """Memory of a resolved spec's largest pass, in one process that holds all weights.

    What trains is float32; what is frozen, and what is computed, are of 16 bits unless it is PRECISION_FP32.
    """
    width = _FLOAT if numbers.precision in {None, Precision.FP32} else _HALF
    changing = trainable(sizes, adaptation)
    # An adapter's copies of whole parts stand beside the parts themselves.
    frozen = sizes.parameters if adaptation.by_adapter else max(0, sizes.parameters - changing)
    kept = _QUANTISED[adaptation.quantisation] if adaptation.quantisation else width
    checkpointing = bool(numbers.gradient_checkpointing)
    batch = largest.examples * width
    language = batch * _per_token(sizes.language, checkpointing=checkpointing)
    tower = 0.0
    if sizes.vision:
        trains = "vision_tower" in adaptation.trains()
        tower = batch * largest.patches * _tower(sizes.vision, trains=trains, checkpointing=checkpointing)
    return Memory(
        base=GPU_BASE if on_gpu else CPU_BASE,
        weights=round(changing * _FLOAT + frozen * kept),
        gradients=changing * _FLOAT,
        optimiser=round(changing * _STATE[numbers.optimiser or Optimiser.ADAMW]),
        activations=round(language * largest.text_tokens),
        images=round(language * largest.image_tokens + tower),
        logits=0
        if sizes.compares
        else largest.examples * largest.text_tokens * sizes.vocabulary * LOGITS_COPIES * _FLOAT,
        slack=GPU_SLACK if on_gpu else 1.0,
    )


def _values(layers: Layers) -> int:
    """Numbers that one layer keeps of a token: 21 times the width where it is gated and ff = 3 width."""
    if layers.gated:
        return 12 * layers.width + 3 * layers.inner
    return 9 * layers.width + 2 * layers.inner


def _per_token(layers: Layers, *, checkpointing: bool) -> float:
    """Numbers kept of a token; with checkpointing the inputs of all layers and one layer whole."""
    if checkpointing:
        return float(layers.count * layers.width + _values(layers))
    return float(layers.count * _values(layers))


def _tower(layers: Layers, *, trains: bool, checkpointing: bool) -> float:
    """The same of a patch; a frozen tower runs without gradients and holds one layer."""
    return _per_token(layers, checkpointing=checkpointing) if trains else float(_values(layers))
