"""What a job would need, as messages of trainer.proto; pure."""

import json

from google.protobuf.duration_pb2 import Duration
from visiontune.trainer.v1 import trainer_pb2 as pb
from visiontune_recipes.estimate.fitting import Choice
from visiontune_recipes.estimate.memory import Memory
from visiontune_recipes.estimate.needs import UTILISATION, Fit, Needs
from visiontune_recipes.estimate.work import Tokens

from visiontune_trainer.domain.problems import SPEC_FIELD


def estimate_to(needs: Needs | str) -> pb.Estimate:
    """Returns the needs, or why they are unknown."""
    if isinstance(needs, str):
        return pb.Estimate(unknown_reason=needs)
    return pb.Estimate(
        total_parameters=needs.total_parameters,
        trainable_parameters=needs.trainable_parameters,
        tokens=_tokens_to(needs.tokens),
        memory=_memory_to(needs.memory),
        fits=[_fit_to(fit) for fit in needs.fits],
        training_flops=needs.training_flops,
        assumed_utilisation=UTILISATION,
        duration=_duration_to(needs.duration_s),
        measured_samples_per_second=needs.measured_speed,
    )


def choice_to(choice: Choice) -> pb.ValidateTrainingJobResponse.Choice:
    """Returns a choice as a message."""
    return pb.ValidateTrainingJobResponse.Choice(
        field=SPEC_FIELD + choice.field, value=json.dumps(choice.value), reason=choice.reason
    )


def _tokens_to(tokens: Tokens) -> pb.Estimate.Tokens:
    return pb.Estimate.Tokens(
        median=tokens.median,
        p95=tokens.p95,
        max=tokens.max,
        median_image=tokens.median_image,
        max_image=tokens.max_image,
    )


def _memory_to(memory: Memory) -> pb.Estimate.Memory:
    return pb.Estimate.Memory(
        base_bytes=memory.base,
        weights_bytes=memory.weights,
        gradients_bytes=memory.gradients,
        optimiser_bytes=memory.optimiser,
        activations_bytes=memory.activations,
        image_bytes=memory.images,
        logits_bytes=memory.logits,
        peak_bytes=memory.peak,
        data_bytes=memory.data,
        evaluation_bytes=memory.evaluation,
    )


def _fit_to(fit: Fit) -> pb.Estimate.Fit:
    return pb.Estimate.Fit(
        accelerator=fit.accelerator,
        needed_bytes=fit.needed_bytes,
        memory_bytes=fit.memory_bytes,
        fits=fit.fits,
        duration=_duration_to(fit.duration_s),
        cost=fit.cost,
        changes=[pb.Estimate.Change(field=each.field, value=each.value) for each in fit.changes],
        measured_samples_per_second=fit.measured_speed,
    )


def _duration_to(seconds: float | None) -> Duration | None:
    """Whole seconds; more would be a promise."""
    return None if seconds is None else Duration(seconds=round(seconds))
