"""Bad input by the command, over REST and over gRPC: refused alike, and nothing is left behind."""

import asyncio
import io
import json
import random
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.longrunning import operations_pb2 as lro
from google.longrunning import operations_pb2_grpc
from google.protobuf.json_format import MessageToDict
from PIL import Image
from visiontune import Client
from visiontune import errors as sdk_errors
from visiontune.dataset.v1 import dataset_pb2 as pb
from visiontune.storage.v1 import storage_pb2, storage_pb2_grpc
from visiontune.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from visiontune_data.limits import MIB
from visiontune_kit import channels, errors
from visiontune_kit.identity import Role
from visiontune_kit.status import to_status
from visiontune_stack.ports import Ports

from tests.support import archives
from tests.support import dataset as datasets
from tests.support.archives import llava, picture
from tests.support.dataset import DatasetHandle
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tests.support.storage import StorageHandle
from tests.support.trust import Trust

pytestmark = pytest.mark.timeout(300)
GOOD = archives.good()
Leftovers = tuple[int, int, int, list[str]]
LAST = "img/0002.jpg"


@dataclass(frozen=True)
class Refusal:
    """What every client is told."""

    code: int  # of google.rpc
    reason: str
    message: str
    places: tuple[tuple[str, str, str], ...]  # field, text and rule of each violation

    @classmethod
    def of(cls, failure: sdk_errors.ApiFailure) -> "Refusal":
        places = tuple((each.field, each.description, each.reason) for each in failure.violations)
        return cls(failure.code, failure.reason, failure.message, places)


@dataclass(frozen=True)
class Everywhere:
    """One stack, called in three ways."""

    stack: Stack
    rest: Client
    grpc: DatasetHandle
    trainer: Any

    async def cli(self, *arguments: str) -> Any:
        """What the command did; its failures are asserted by the caller."""
        return await asyncio.to_thread(self.stack.cli, *arguments, check=False)

    async def by_rest(self, act: Callable[[], object]) -> Refusal:
        """How a call of the SDK is refused."""
        with pytest.raises(sdk_errors.ApiFailure) as refused:
            await asyncio.to_thread(act)
        return Refusal.of(refused.value)

    async def by_grpc(self, call: Any) -> Refusal:
        """How a call of a service is refused."""
        with pytest.raises(errors.Failure) as refused:
            await call
        return from_status(to_status(refused.value))

    async def leftovers(self) -> Leftovers:
        """Bytes used, bytes reserved, objects, and operations that have not ended."""
        quota = await self.grpc.storage.quota()
        metadata = self.grpc.storage.metadata()
        running = await self.grpc.operations.ListOperations(
            lro.ListOperationsRequest(name="projects/default", filter="done=false"), metadata=metadata
        )
        names = [each.name for each in running.operations]
        return quota.used_bytes, quota.reserved_bytes, quota.object_count, names

    async def until_left_with(self, wanted: Leftovers) -> None:
        """Returns once no more is left than that: what an import used is deleted after its end."""

        async def is_left() -> bool:
            return await self.leftovers() == wanted

        await eventually(is_left, within_s=30)


def from_status(status: Any) -> Refusal:
    """The refusal that a google.rpc.Status tells."""
    return Refusal.of(sdk_errors.from_status(MessageToDict(status)))


@pytest.fixture
async def everywhere(stack: Stack) -> AsyncIterator[Everywhere]:
    ports = Ports(stack.port)
    async with (
        channels.connect(f"127.0.0.1:{ports.storage}") as storage_channel,
        channels.connect(f"127.0.0.1:{ports.trainer}") as trainer_channel,
        httpx.AsyncClient(timeout=30) as http,
    ):
        storage = StorageHandle(
            f"127.0.0.1:{ports.storage}",
            "",
            Trust(stack.home / "keys"),
            storage_pb2_grpc.StorageServiceStub(storage_channel),
            operations_pb2_grpc.OperationsStub(storage_channel),
            http,
        )
        async with datasets.connected(f"127.0.0.1:{ports.dataset}", storage) as grpc:
            with stack.client() as rest:
                yield Everywhere(stack, rest, grpc, trainer_pb2_grpc.TrainerServiceStub(trainer_channel))


def with_member(name: str, data: bytes = b"", **fields: Any) -> bytes:
    """A good archive and one member more."""
    buffer = io.BytesIO(archives.tar(GOOD))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.addfile(archives.tar_header(name, data, **fields), io.BytesIO(data))
    return buffer.getvalue()


def with_record(line: bytes) -> bytes:
    """A good archive with one line more in its records."""
    return archives.tar_gz(GOOD | {"train.jsonl": GOOD["train.jsonl"] + line})


def with_image(data: bytes) -> bytes:
    """A good archive but for its last image."""
    return archives.tar(GOOD | {LAST: data})


# name of the archive, its bytes, the rule that it breaks, and where
CASES: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "no-archive": ("a.tar.gz", lambda: random.Random(1).randbytes(3_000), "archive-unknown", "archive"),
    "truncated": ("a.tar.gz", lambda: archives.tar_gz(GOOD)[:-200], "archive-truncated", "archive"),
    "traversal": ("a.tar", lambda: with_member("../../evil.jpg"), "path-traversal", "../../evil.jpg"),
    "absolute": ("a.tar", lambda: with_member("/etc/passwd"), "path-absolute", "/etc/passwd"),
    "link": (
        "a.tar",
        lambda: with_member("a.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "path-link",
        "a.jpg",
    ),
    "device": ("a.tar", lambda: with_member("null", type=tarfile.CHRTYPE), "path-special", "null"),
    "duplicate": ("a.tar", lambda: with_member(LAST, GOOD[LAST]), "path-duplicate", LAST),
    "bomb": ("a.zip", lambda: archives.zip_({"train.jsonl": bytes(20 * MIB)}), "archive-bomb", "archive"),
    "no-records": ("a.zip", lambda: archives.zip_({LAST: picture()}), "metadata-missing", "archive"),
    "broken-json": ("a.tar.gz", lambda: with_record(b"{oops\n"), "json-syntax", "train.jsonl:4"),
    "no-field": ("a.tar.gz", lambda: with_record(b'{"image": "img/0000.jpg"}\n'), "field-missing", "$"),
    "wrong-type": (
        "a.tar.gz",
        lambda: with_record(archives.jsonl(llava("img/0000.jpg") | {"conversations": 7})),
        "field-type",
        "train.jsonl:4 $.conversations",
    ),
    "absent-image": (
        "a.tar.gz",
        lambda: with_record(archives.jsonl(llava("img/0042.png"))),
        "image-missing",
        "train.jsonl:4 $.image",
    ),
    "cut-image": ("a.tar", lambda: with_image(picture(2)[:900]), "image-truncated", LAST),
    "heavy-image": ("a.tar", lambda: with_image(picture(2) + bytes(20 * MIB)), "image-bytes", LAST),
    "wide-image": (
        "a.tar",
        lambda: with_image(archives.encoded(Image.new("L", (16_385, 8)), "JPEG")),
        "image-side",
        LAST,
    ),
    "no-examples": ("a.tar", lambda: archives.tar(GOOD | {"train.jsonl": b"\n"}), "zero-examples", "archive"),
}


# One of an archive, of a path, of records and of an image; what each rule says is tested without a stack.
EVERY_TIME = {"truncated", "traversal", "absent-image", "cut-image"}


@pytest.mark.parametrize(
    "case",
    [case if case in EVERY_TIME else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
)
async def test_a_bad_archive_is_refused_alike(everywhere: Everywhere, tmp_path: Path, case: str) -> None:
    filename, build, rule, field = CASES[case]
    path = tmp_path / filename
    path.write_bytes(build())
    before = await everywhere.leftovers()
    dataset = await everywhere.grpc.create(case)

    def by_rest() -> None:
        upload = everywhere.rest.upload(path)
        request = pb.ImportVersionRequest(parent=dataset.name, upload=upload.name)
        everywhere.rest.wait(everywhere.rest.import_version(request), timeout_s=60)

    async def by_grpc() -> Refusal:
        operation = await everywhere.grpc.start_bytes(dataset, path.read_bytes(), filename)
        return from_status((await everywhere.grpc.ended(operation)).error)

    done, refused, by_service = await asyncio.gather(
        everywhere.cli("dataset", "import", str(path), "--dataset", case, "-o", "json"),
        everywhere.by_rest(by_rest),
        by_grpc(),
    )
    assert refused == by_service
    assert (refused.code, refused.reason) == (3, "ImportRefused")
    first_field, text, first_rule = refused.places[0]
    assert (first_rule, first_field.endswith(field)) == (rule, True), refused
    assert refused.message.startswith(text)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert f"{filename} was not imported" in done.stderr
    assert done.stderr.rstrip().endswith("reason: ImportRefused")
    for _, text, _ in refused.places:
        assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert await everywhere.grpc.versions(dataset) == []
    await everywhere.until_left_with(before)


@pytest.mark.parametrize(
    ("name", "member", "rule"),
    [("unused", "img/9999.jpg", "image-unused"), ("mislabelled", "img/0002.png", "image-mislabelled")],
)
async def test_a_warning_is_told_alike_and_stops_nothing(
    everywhere: Everywhere, tmp_path: Path, name: str, member: str, rule: str
) -> None:
    files = GOOD | {member: picture(9)}
    if name == "mislabelled":
        del files[LAST]
        files["train.jsonl"] = GOOD["train.jsonl"].replace(LAST.encode(), member.encode())
    path = tmp_path / "a.tar"
    path.write_bytes(archives.tar(files))
    before = await everywhere.leftovers()
    dataset = await everywhere.grpc.create(name)
    version = await everywhere.grpc.imported(dataset, files, "a.tar")
    done = await everywhere.cli("dataset", "import", str(path), "--dataset", name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Unchanged: equal to {name}/v1: 3 examples")
    assert ", 1 warnings" in done.stdout
    upload = everywhere.rest.upload(path)
    request = pb.ImportVersionRequest(parent=dataset.name, upload=upload.name)
    operation = await asyncio.to_thread(everywhere.rest.wait, everywhere.rest.import_version(request))
    assert datasets.version_of(operation) == version

    report = await everywhere.grpc.report(version.validation_report)
    assert everywhere.rest.get_validation_report(version.validation_report) == report
    [problem] = [problem for found in report.rules for problem in found.problems]
    assert problem.text.startswith(f"a.tar › {member}: ")
    assert [(found.rule, found.severity) for found in report.rules] == [(rule, pb.SEVERITY_WARNING)]
    shown = await everywhere.cli("dataset", "report", name)
    assert problem.text in shown.stdout
    assert list(everywhere.rest.list_problems(report.name)) == [problem]
    lines = (await everywhere.cli("dataset", "report", name, "--jsonl")).stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == [problem.text]
    everywhere.rest.delete_dataset(name, force=True, purge=True)
    await everywhere.until_left_with(before)


async def test_a_full_quota_is_told_alike(everywhere: Everywhere, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(archives.tar(GOOD))
    before = await everywhere.leftovers()
    quota = await everywhere.grpc.storage.quota()
    await limit(everywhere, before[0] + 100)
    try:
        done, refused, by_service = await asyncio.gather(
            everywhere.cli("dataset", "import", str(path), "--dataset", "full"),
            everywhere.by_rest(lambda: everywhere.rest.upload(path)),
            everywhere.by_grpc(everywhere.grpc.storage.create(path.read_bytes(), filename=path.name)),
        )
    finally:
        await limit(everywhere, quota.limit_bytes)
    assert refused == by_service
    assert (refused.code, refused.reason) == (8, "QuotaExceeded")
    assert done.returncode == 1
    assert refused.message in done.stderr
    assert f"reason: {refused.reason}" in done.stderr
    await everywhere.until_left_with(before)


async def limit(everywhere: Everywhere, limit_bytes: int) -> None:
    quota = storage_pb2.Quota(name="projects/default/quota", limit_bytes=limit_bytes)
    request = storage_pb2.UpdateQuotaRequest(quota=quota)
    await everywhere.grpc.storage.call("UpdateQuota", request, role=Role.OPERATOR)


async def test_a_name_that_is_taken_is_told_alike(everywhere: Everywhere) -> None:
    await everywhere.grpc.create("twice")  # the command takes what is there
    refused = await everywhere.by_rest(lambda: everywhere.rest.create_dataset("twice"))
    assert refused == await everywhere.by_grpc(everywhere.grpc.create("twice"))
    assert (refused.code, refused.reason) == (6, "DatasetExists")
    assert "projects/default/datasets/twice exists already" in refused.message


# what is asked of the command and of the API, the reason, and what the message names
JOBS: dict[str, tuple[list[str], dict[str, Any], str, str]] = {
    "unknown-preset": (
        ["--model", "presets/tiny-lava"],
        {"base_model": {"preset": "tiny-lava"}},
        "SpecRefused",
        "tiny-llava",
    ),
    "data-of-another-kind": (
        ["--model", "presets/tiny-llava"],
        {"base_model": {"preset": "tiny-llava"}},
        "SpecRefused",
        "CAPTIONED_IMAGE",
    ),
    "learning-rate-zero": (
        ["--model", "presets/tiny-llava", "--learning-rate", "0"],
        {"base_model": {"preset": "tiny-llava"}, "hyperparameters": {"learning_rate": 0}},
        "InvalidRequest",
        "learning_rate",
    ),
}


@pytest.mark.parametrize("case", JOBS)
async def test_a_job_that_cannot_run_is_refused_alike(everywhere: Everywhere, case: str) -> None:
    options, spec, reason, named = JOBS[case]
    before = await everywhere.leftovers()
    dataset = await everywhere.grpc.create(case)
    version = await everywhere.grpc.imported(dataset, archives.captions(30))
    job = trainer_pb2.TrainingJob(spec=trainer_pb2.TrainingJobSpec(dataset_version=version.name, **spec))
    request = trainer_pb2.CreateTrainingJobRequest(parent="projects/default", training_job=job)
    done, refused, by_service = await asyncio.gather(
        everywhere.cli("train", "--dataset", f"{case}/v1", *options),
        everywhere.by_rest(lambda: everywhere.rest.create_job(job)),
        everywhere.by_grpc(
            everywhere.trainer.CreateTrainingJob(request, metadata=everywhere.grpc.storage.metadata())
        ),
    )
    assert refused == by_service
    assert (refused.code, refused.reason) == (3, reason)
    assert named in refused.message
    assert done.returncode == 1
    assert refused.message in done.stderr
    assert f"reason: {refused.reason}" in done.stderr
    assert list(everywhere.rest.list_jobs()) == []
    everywhere.rest.delete_dataset(case, force=True, purge=True)
    await everywhere.until_left_with(before)


def test_a_number_that_is_text_is_wrong_use(stack: Stack) -> None:
    done = stack.cli("train", "--dataset", "a/v1", "--learning-rate", "fast", check=False)
    assert done.returncode == 2
    answer = httpx.post(
        f"{stack.url}/v1/projects/default/trainingJobs",
        json={"spec": {"hyperparameters": {"learningRate": "fast"}}},
        headers={"authorization": f"Bearer {stack.api_key()}"},
        trust_env=False,
    )
    refused = Refusal.of(sdk_errors.from_status(answer.json()))
    assert (answer.status_code, refused.code, refused.reason) == (400, 3, "UnreadableRequest")
    assert "hyperparameters.learning_rate" in refused.message
    with pytest.raises(TypeError):  # no message can be built that says so
        trainer_pb2.Hyperparameters(learning_rate="fast")  # type: ignore[arg-type]


def test_a_model_that_the_command_does_not_know_names_the_known_ones(stack: Stack) -> None:
    done = stack.cli("train", "--dataset", "none/v1", "--model", "tiny-lava", check=False)
    assert done.returncode == 1
    assert "tiny-llava" in done.stderr
