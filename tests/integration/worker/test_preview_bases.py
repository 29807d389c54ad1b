"""Examples are shown for models from folders, the Hub's cache and registered ones, without their weights."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from huggingface_hub import constants
from visiontune.trainer.v1 import trainer_pb2
from visiontune.worker.v1 import preview_pb2, worker_pb2
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.resolve import resolve
from visiontune_worker import build, objectives
from visiontune_worker.faults import ConfigurationFault, EnvironmentFault
from visiontune_worker.preview_examples import Allowed, Examples
from visiontune_worker.shards import Example
from visiontune_worker.transfer import sha256_of

from tests.support import worker_data, worker_store
from tests.support.worker_layers import save_base
from tests.support.worker_service import manifest_message
from tests.support.worker_store import Store

MODEL = "projects/p/models/digits"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [7, 1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Shards, and beside them all of a model but its weights."""
    folder = tmp_path_factory.mktemp("store")
    for weights in save_base(folder / "base").glob("*.safetensors"):
        weights.unlink()
    with worker_store.serving(folder) as served:
        yield served


def asked(store: Store, base: dict[str, object]) -> preview_pb2.PreviewExamplesRequest:
    rows = [worker_data.row(index) for index in range(10)]
    manifest = worker_data.write_shards(store.folder, rows, base_url=store.url)
    request = preview_pb2.PreviewExamplesRequest(manifest=manifest_message(manifest), rows=ROWS)
    ParseDict(resolve(worker_data.spec(base), manifest.facts).to_dict(), request.spec)
    if "model" in base:
        files = [path for path in (store.folder / "base").iterdir() if path.is_file()]
        request.model_files.add(model=MODEL, files=[stored(store, path) for path in files])
        adapter = worker_pb2.ModelFiles(model=f"{MODEL}-2", is_adapter=True, files=[stored(store, files[0])])
        request.model_files.append(adapter)
    return request


def stored(store: Store, path: Path) -> trainer_pb2.ArtifactFile:
    url = f"{store.url}/base/{path.name}"
    size = path.stat().st_size
    return trainer_pb2.ArtifactFile(path=path.name, size_bytes=size, sha256=sha256_of(path), url=url)


def trained() -> list[tuple[list[int], list[bool]]]:
    """What a training on the model, weights and all, makes of the rows."""
    facts = DatasetFacts(frozenset(), {"train": 1})
    spec = resolve(worker_data.spec(), facts)
    built = build.build(spec, build.Sources(texts=worker_data.texts()))
    rows: list[Any] = [worker_data.row(row) for row in ROWS]
    examples = [
        Example("v/examples/0", row["id"], [row["images"][0]["bytes"]], row["messages"]) for row in rows
    ]
    encoded = objectives.of(built, spec).encode(examples)
    return [(each.input_ids.tolist(), each.trained.tolist()) for each in encoded]


def shown(answer: trainer_pb2.PreviewTrainingExamplesResponse) -> list[tuple[list[int], list[bool]]]:
    found = []
    for example in answer.examples:
        ids, marks = [], []
        for span in example.inputs[0].spans:
            times = span.token_count if span.kind == span.KIND_IMAGE else 1
            ids += list(span.token_ids) * times
            marks += [span.kind == span.KIND_TRAINED] * span.token_count
        found.append((ids, marks))
    return found


def test_whatever_a_model_is_loaded_from_its_examples_are_those_of_the_training(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(store.folder / "base", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    examples = Examples(Allowed(roots=(store.folder,)))
    expected = trained()
    bases: list[dict[str, object]] = [
        {"path": str(store.folder / "base")},
        {"hub": {"repo_id": "owner/tiny"}},
        {"model": f"{MODEL}-2"},
    ]
    for base in bases:
        store.requests.clear()
        answer = examples.show(asked(store, base))
        assert answer.family == "llava"
        assert shown(answer) == expected, base
        assert any("/base/" in each for each in store.requests) == ("model" in base)


def test_a_preset_learns_from_the_texts_once_and_keeps_what_it_learnt_in_an_earlier_job(store: Store) -> None:
    examples = Examples(Allowed())
    first = examples.show(asked(store, {"preset": "tiny-llava"}))
    read = len(store.requests)
    assert shown(examples.show(asked(store, {"preset": "tiny-llava"}))) == shown(first)
    assert len(store.requests) - read < read
    # The folder's processor knows the words of other texts.
    request = asked(store, {"preset": "tiny-llava"})
    folder = store.folder / "base"
    files = [stored(store, path) for path in folder.iterdir() if path.is_file()]
    for each in files:
        each.path = f"processor/{each.path}"
    request.resume_from.files.extend(files)
    assert shown(examples.show(request)) == trained() != shown(first)


def test_what_is_not_here_is_refused_with_the_reason(store: Store, tmp_path: Path) -> None:
    examples = Examples(Allowed())
    with pytest.raises(EnvironmentFault, match="would have to be downloaded"):
        examples.show(asked(store, {"hub": {"repo_id": "owner/other"}}))
    with pytest.raises(ConfigurationFault, match="MODEL_ROOTS"):
        examples.show(asked(store, {"path": str(store.folder / "base")}))
    with pytest.raises(ConfigurationFault, match="no folder"):
        Examples(Allowed(roots=(tmp_path,))).show(asked(store, {"path": str(tmp_path / "none")}))
