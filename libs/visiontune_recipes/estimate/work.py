"""A model and the data that it is to learn: tokens of examples, the largest pass, memory, operations."""

from dataclasses import dataclass

from visiontune_recipes.estimate.memory import Memory, Pass, memory_of
from visiontune_recipes.estimate.sizes import Sizes
from visiontune_recipes.facts import DatasetFacts, Kind, Lengths
from visiontune_recipes.spec import Hyperparameters, Objective, Spec

# More than are prepared ahead.
MANY_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of examples, with those of their images."""

    median: int
    p95: int
    max: int
    median_image: int
    max_image: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a job has to do. lengths: those of the facts, which are known here."""

    sizes: Sizes
    facts: DatasetFacts
    lengths: Lengths

    def tokens(self, max_length: int) -> Tokens:
        """Tokens of examples; those of images count a picture of that width and that height for each."""

        def whole(of: str) -> int:
            text = self.sizes.text_length or int(getattr(self.lengths.text_tokens, of))
            return min(max_length, text + self._seen(of)[1])

        return Tokens(
            median=whole("median"),
            p95=whole("p95"),
            max=whole("max"),
            median_image=self._seen("median")[1],
            max_image=self._seen("max")[1],
        )

    def memory(self, spec: Spec, steps: int = MANY_STEPS, *, on_gpu: bool) -> Memory:
        """What one process of a resolved spec holds. steps: of the job."""
        return memory_of(self.sizes, spec, self._largest(spec, steps), on_gpu=on_gpu)

    def held_out(self, spec: Spec) -> int:
        """Examples that the model is measured on, each time."""
        return min(self.facts.validation_count, spec.evaluation.max_examples or 10**9)

    def flops(self, spec: Spec) -> float:
        """Operations of one example, forward and backward: 6 for a parameter that trains and a token.

        2 of them are the forward pass, 2 the gradients of activations, 2 those of weights (Kaplan et al.
        2020, arXiv:2001.08361). Frozen layers below all that trains have the first alone; checkpointing
        repeats it.
        """
        adaptation, sizes = spec.adaptation, self.sizes
        patches, of_images = self._seen("mean")
        tokens = (sizes.text_length or self.lengths.text_tokens.mean) + of_images
        again = 2 if spec.hyperparameters.gradient_checkpointing else 0
        head = sizes.vocabulary * sizes.language.width if sizes.has_head else 0
        per_weight = 6 if "language_model" in adaptation.whole() else 4
        work = (per_weight + again) * (sizes.language.parameters + head) * tokens
        trains = "vision_tower" in adaptation.trains()
        tower = sizes.vision.parameters if sizes.vision else 0
        return work + (6 + again if trains else 2) * tower * patches

    def _seen(self, of: str) -> tuple[float, int]:
        """Places in the tower, and tokens, of an example's pictures or of its video's frames."""
        count, width, height = (
            getattr(span, of) for span in (self.lengths.images, self.lengths.width_px, self.lengths.height_px)
        )
        pictures = self.sizes.pictures
        if pictures is None or not count or not width or not height:
            return 0, 0
        if self.facts.kinds == {Kind.CHAT_WITH_VIDEO}:
            return pictures.of_video(round(count), width, height)
        return count * pictures.patches(width, height), int(count * pictures.tokens(width, height))

    def _largest(self, spec: Spec, steps: int) -> Pass:
        resources, numbers = spec.resources, spec.hyperparameters
        tokens = self.tokens(numbers.max_length or 1)
        processes = max(1, resources.accelerator_count) * resources.node_count
        patches = round(self._seen("max")[0])
        text = max(0, tokens.max - tokens.max_image)
        answers = text if self.lengths.answer_tokens is None else self.lengths.answer_tokens.max
        # Of each pair of answers there are two rows.
        rows = 2 if spec.objective is Objective.PREFERENCE else 1
        return Pass(
            examples=rows * min(numbers.batch_size or 1, -(-examples_of_step(numbers) // processes)),
            text_tokens=text,
            image_tokens=min(tokens.max, tokens.max_image),
            patches=patches,
            answer_tokens=min(text, int(answers) + 1),
            pixels_bytes=self.sizes.bytes_of_patch * patches,
            passes=numbers.gradient_accumulation_steps or 1,
            steps=steps,
            train_count=self.facts.train_count,
            validation_count=self.held_out(spec),
        )


def examples_of_step(numbers: Hyperparameters) -> int:
    """Examples of one optimiser step, over all processes."""
    return (numbers.batch_size or 1) * (numbers.gradient_accumulation_steps or 1)
