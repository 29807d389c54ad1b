"""A preview shows the very pictures of training, by a child that may die at any time, or by a server."""

import asyncio
import io
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.trainer.v1.augmentation_pb2 import Augmentation, Transform
from visiontune_data import pictures
from visiontune_dataset.adapters import preview
from visiontune_dataset.adapters.preview import ChildPreviewer, RemotePreviewer
from visiontune_dataset.ports import View
from visiontune_kit import channels, errors
from visiontune_kit.helper import HelperFailed
from visiontune_kit.tls import ClientTls
from visiontune_recipes.augmentation import Augmentation as Policy
from visiontune_recipes.augmentation import Preset, resolve
from visiontune_recipes.presets import PRESETS
from visiontune_worker import presets
from visiontune_worker.augment import Augment

from tests.support import archives, certificates, warm_worker
from tests.support.dataset import DatasetHandle, program_beside, running_dataset
from tests.support.eventually import eventually
from tests.support.s3 import SeaweedFS
from tests.support.storage import running_storage

STRONG = Augmentation(preset=Augmentation.PRESET_STRONG)
FLIP = Augmentation(transforms=[Transform(name="RandomHorizontalFlip")])
FILES = archives.numbered(12)


async def ask(service: DatasetHandle, version: pb.DatasetVersion, policy: Augmentation, **more: Any) -> Any:
    request = pb.PreviewAugmentationRequest(parent=version.name, augmentation=policy, **more)
    return await service.call("PreviewAugmentation", request, timeout=90)


def children() -> list[psutil.Process]:
    """Previews that this process has started and that live."""
    return [each for each in psutil.Process().children() if "-m visiontune_worker.preview" in command(each)]


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def trained(row: int, epoch: int, seed: int) -> Image.Image:
    """What the worker trains on."""
    policy = resolve(Policy(preset=Preset.STRONG))
    assert policy is not None
    picture = pictures.read(FILES[archives.image_name(row)])
    return Augment(policy, seed)(picture, epoch=epoch, row=row, index=0)


async def test_the_pictures_are_those_of_training(service: DatasetHandle) -> None:
    version = await service.imported(await service.create(), FILES)
    answer = await ask(service, version, STRONG, rows=[7, 3], count=5, seed=9)
    assert [each.example for each in answer.examples] == [f"{version.name}/examples/{row}" for row in (3, 7)]
    assert [len(each.augmented) for each in answer.examples] == [3, 2]
    for row, each in zip((3, 7), answer.examples, strict=True):
        original = pictures.read(FILES[archives.image_name(row)])
        assert each.original == pictures.encode(original)
        assert (each.content_type, each.width_px, each.height_px) == ("image/jpeg", *original.size)
        expected = [pictures.encode(trained(row, epoch, 9)) for epoch in range(len(each.augmented))]
        assert list(each.augmented) == expected
    assert answer.resolved_augmentation.transforms[0].name == "RandomAffine"
    assert list(answer.warnings) == []

    first_of_all = await ask(service, version, STRONG, count=4, model_preset="tiny-llava")
    train_rows = [
        each.name
        for each in (
            await service.call("ListExamples", pb.ListExamplesRequest(parent=version.name, split="train"))
        ).examples
    ]
    assert [each.example for each in first_of_all.examples] == train_rows[:4]
    row = int(train_rows[0].rpartition("/")[2])
    [seen] = first_of_all.examples[0].augmented
    as_the_model = presets.image_processor(PRESETS["tiny-llava"])(
        trained(row, 0, 42), do_rescale=False, do_normalize=False, return_tensors="pt"
    )["pixel_values"][0]
    assert seen == pictures.encode(Image.fromarray(as_the_model.permute(1, 2, 0).numpy()))
    assert Image.open(io.BytesIO(seen)).size == (32, 32)


@pytest.mark.slow
async def test_a_child_that_is_killed_at_work_is_started_again_and_an_idle_one_ends(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with running_dataset(s3, tmp_path, preview_idle_s=1.5) as service:
        files = archives.numbered(2, (1500, 1000))
        version = await service.imported(await service.create(), files)
        asked = asyncio.ensure_future(ask(service, version, STRONG, rows=[1], count=16, side_px=64))
        await eventually(lambda: any(Path(each.cwd(), "socket").exists() for each in children()), within_s=60)
        await asyncio.sleep(0.5)  # by now it is at work
        assert not asked.done()
        os.kill(children()[0].pid, signal.SIGKILL)
        [example] = (await asked).examples
        assert (len(example.augmented), example.width_px, example.height_px) == (16, 64, 43)
        folders = [Path(each.cwd()) for each in children()]
        await eventually(lambda: not children(), within_s=20)
        assert (await ask(service, version, STRONG, rows=[1], count=1)).examples
        folders += [Path(each.cwd()) for each in children()]
        assert len(folders) == 2
    assert children() == []
    assert not any(each.exists() for each in folders)


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_a_child_that_cannot_work_is_told_with_its_exit_code(exit_code: int, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    python.chmod(0o755)
    previewer = ChildPreviewer(python, 10.0)
    with pytest.raises(HelperFailed, match=f"exit code {exit_code}"):
        await previewer.show(b"x", View(Policy(), 0, 0, [0], "", 64))


async def test_what_cannot_be_shown_is_said(service: DatasetHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    version = await service.imported(await service.create(), FILES)
    monkeypatch.setattr(preview, "find_spec", lambda _: None)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await ask(service, version, STRONG)
    assert refused.value.reason == "PreviewNotInstalled"
    assert "VISIONTUNE_DATASET_PREVIEW_TARGET" in refused.value.message
    wrong = Augmentation(transforms=[Transform(name="ColourJitter", parameters={"x": 1})])
    with pytest.raises(errors.InvalidArgument) as unfit:
        await ask(service, version, wrong, model_preset="huge")
    assert unfit.value.reason == "AugmentationRefused"
    assert [each.field for each in unfit.value.violations] == [
        "augmentation.transforms[0].name",
        "model_preset",
    ]
    with pytest.raises(errors.NotFound):
        await ask(service, version, STRONG, rows=[0, 12])
    with pytest.raises(errors.InvalidArgument):
        await ask(service, version, STRONG, count=17)
    talk = {"train.jsonl": archives.jsonl(*(archives.llava(None, f"No {n}.", id=f"t{n}") for n in range(9)))}
    text = await service.imported(await service.create("talk"), talk)
    with pytest.raises(errors.FailedPrecondition) as refused:
        await ask(service, text, STRONG)
    assert refused.value.reason == "NoPictures"
    with pytest.raises(errors.NotFound, match="it has no picture"):
        await ask(service, text, STRONG, rows=[1])


async def test_where_vision_is_switched_off_nothing_is_augmented(s3: SeaweedFS, tmp_path: Path) -> None:
    async with running_dataset(s3, tmp_path) as service:
        version = await service.imported(await service.create(), FILES)
    async with running_dataset(s3, tmp_path, enable_vision_training=False) as service:
        with pytest.raises(errors.FailedPrecondition) as refused:
            await ask(service, version, STRONG)
        assert refused.value.reason == "VisionTrainingDisabled"
    assert children() == []


@pytest.mark.slow
async def test_a_child_ends_with_a_service_that_is_killed(s3: SeaweedFS, tmp_path: Path) -> None:
    async with (
        running_storage(s3, tmp_path) as storage,
        program_beside(storage, tmp_path) as (process, service),
    ):
        version = await service.imported(await service.create(), FILES)
        assert (await ask(service, version, STRONG, count=1)).examples
        [child] = (each for each in psutil.Process(process.pid).children() if ".preview" in command(each))
        process.kill()
        await process.wait()
        await eventually(lambda: not child.is_running() or command(child) == "", within_s=20)


@pytest.mark.slow
async def test_a_server_of_its_own_shows_them_too_and_a_flip_of_digits_is_warned_about(
    s3: SeaweedFS, tmp_path: Path
) -> None:
    async with server(tmp_path) as target, running_dataset(s3, tmp_path, preview_target=target) as service:
        version = await service.imported(await service.create(), FILES)
        numbers = await service.call(
            "GetStatistics", pb.GetStatisticsRequest(name=f"{version.name}/statistics")
        )
        [reading] = numbers.text_senses.senses
        assert (reading.sense, reading.example_count) == (pb.TextSense.SENSE_READING, 12)
        assert [(each.label, each.count) for each in reading.words] == [("digit", 12), ("number", 12)]
        answer = await ask(service, version, FLIP, rows=[0], count=8)
        assert len(children()) == 1  # the server
        [example] = answer.examples
        assert len({*example.augmented, example.original}) == 2  # mirrored or not
        [warning] = answer.warnings
        assert '12 examples are about reading ("digit", "number")' in warning
        plain = await ask(service, version, Augmentation(preset=Augmentation.PRESET_NONE), count=1)
        assert list(plain.examples[0].augmented) == [plain.examples[0].original]
        assert not plain.HasField("resolved_augmentation")


@pytest.mark.slow
async def test_under_mtls_it_hears_its_authoritys_clients_alone_and_probes_in_plain_text(
    tmp_path: Path,
) -> None:
    authority = certificates.make(tmp_path / "tls")
    own, health_port = authority.client("preview", loopback=True), free_port()
    environment = {
        "VISIONTUNE_TLS_CERTIFICATE_FILE": str(own.certificate_file),
        "VISIONTUNE_TLS_KEY_FILE": str(own.key_file),
        "VISIONTUNE_TLS_CA_FILE": str(own.ca_file),
        "VISIONTUNE_HEALTH_PORT": str(health_port),
    }
    view = View(Policy(), 0, 0, [0], "", 64)
    async with server(tmp_path, **environment) as target:
        shown = await RemotePreviewer(target, authority.client("dataset")).show(archives.picture(), view)
        assert list(shown.augmented) == [shown.original]
        with pytest.raises(errors.InvalidArgument, match="cannot be shown"):
            await RemotePreviewer(target, authority.client("dataset")).show(b"no picture", view)
        for stranger in (None, ClientTls(own.ca_file)):
            with pytest.raises(errors.Unavailable):
                await RemotePreviewer(target, stranger).show(archives.picture(), view)
        async with channels.connect(f"127.0.0.1:{health_port}") as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@asynccontextmanager
async def server(folder: Path, **environment: str) -> AsyncIterator[str]:
    """`python -m visiontune_worker.preview` on a port of loopback."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(warm_worker.python(), "-m", "visiontune_worker.preview"),
        cwd=folder,
        env={**os.environ, "VISIONTUNE_PREVIEW_PORT": str(port), **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert b"preview_started" in await process.stdout.readline()
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        assert await process.wait() == 0
