"""Models that a job starts from: a base in a folder, and layers as the trainer hands them over."""

import hashlib
import shutil
from pathlib import Path

from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.resolve import resolve
from visiontune_worker import build

from tests.support import worker_data
from tests.support.worker_service import Trainer


def save_base(folder: Path) -> Path:
    """The smallest LLaVA in a folder laid out as a Hub snapshot, as `save_pretrained` writes it."""
    spec = resolve(worker_data.spec(), DatasetFacts(frozenset(), {"train": 1}))
    built = build.build(spec, build.Sources(texts=worker_data.texts()))
    built.model.save_pretrained(folder)
    built.processor.save_pretrained(folder)
    return folder


def published(trainer: Trainer, kind: str) -> Path:
    assert trainer.finished[-1].outcome == worker_pb2.OUTCOME_SUCCEEDED, trainer.finished[-1].message
    return trainer.store.folder / "artifacts" / kind


def serve_layer(trainer: Trainer, source: Path, name: str, *, is_adapter: bool) -> None:
    target = trainer.store.folder / "layers" / source.name
    shutil.copytree(source, target)
    files = [
        trainer_pb2.ArtifactFile(
            path=path.name,
            size_bytes=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            url=f"{trainer.store.url}/layers/{source.name}/{path.name}",
        )
        for path in target.iterdir()
    ]
    trainer.layers.append(worker_pb2.ModelFiles(model=name, is_adapter=is_adapter, files=files))
