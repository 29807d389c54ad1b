"""Jobs that go on from others, from the request to the result: the trainer as a program, real workers."""

from pathlib import Path
from typing import Any

import pytest
from visiontune.trainer.v1 import trainer_pb2 as pb

from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.trainer import PARENT, TrainerHandle
from tests.support.trainer_program import answers, running_program

pytestmark = pytest.mark.slow

# 96 training examples: 6 steps an epoch.
NUMBERS: Any = {"batch_size": 16, "learning_rate": 1e-3}


async def trained(trainer: TrainerHandle, job_id: str, epochs: float = 1, **spec: Any) -> pb.TrainingJob:
    job = await trainer.create(
        job_id,
        hyperparameters=pb.Hyperparameters(epochs=epochs, **NUMBERS),
        evaluation=pb.Evaluation(max_examples=8, sample_count=2, max_new_tokens=4),
        **spec,
    )
    return await trainer.until(job.name, "SUCCEEDED", within_s=150)


async def registered(trainer: TrainerHandle, job: pb.TrainingJob) -> pb.Model:
    model_id = job.name.rpartition("/")[2]
    request = pb.RegisterModelRequest(parent=PARENT, model_id=model_id, model=pb.Model(training_job=job.name))
    model: pb.Model = await trainer.call("RegisterModel", request)
    return model


async def test_adapters_are_continued_and_checkpoints_resumed_with_their_lineage(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_program(s3, tmp_path) as (_, trainer):
        await eventually(lambda: answers(trainer), within_s=30, every_s=0.2)
        whole = await registered(trainer, await trained(trainer, "whole"))
        lora = pb.Adaptation(lora=pb.Lora(rank=4))
        first = await trained(trainer, "first", base_model=pb.BaseModel(model=whole.name), adaptation=lora)
        adapter = await registered(trainer, first)
        assert adapter.base_model.model == whole.name
        # The same adapter, trained further.
        further = await trained(
            trainer,
            "further",
            base_model=pb.BaseModel(model=adapter.name),
            adaptation=pb.Adaptation(continue_adapter=True),
        )
        assert further.metrics_before["loss"] == pytest.approx(first.metrics_after["loss"], rel=1e-3)
        continued = await registered(trainer, further)
        assert continued.is_adapter
        assert continued.base_model.model == whole.name
        # The same training, further: three epochs in all.
        more = await trained(
            trainer,
            "more",
            epochs=3,
            base_model=pb.BaseModel(model=whole.name),
            adaptation=lora,
            resume_from=pb.ResumeFrom(checkpoint=first.name),
        )
        assert more.resolved_spec.resume_from.checkpoint == f"{first.name}/checkpoints/step-6"
        assert more.metrics_before["loss"] == pytest.approx(first.metrics_after["loss"], rel=1e-6)
        points = await trainer.call("ListMetrics", pb.ListMetricsRequest(parent=more.name))
        assert [point.step for point in points.points if "loss" in point.values] == list(range(7, 19))
        # A new adapter on top of the continued one, which is merged.
        last = await trained(trainer, "last", base_model=pb.BaseModel(model=continued.name))
        assert last.metrics_before["loss"] == pytest.approx(further.metrics_after["loss"], rel=1e-3)
