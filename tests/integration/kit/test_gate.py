"""The gate, health and lifecycle of a server, over a real socket and a real database."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import MetaData
from visiontune.storage.v1 import storage_pb2 as pb
from visiontune.storage.v1 import storage_pb2_grpc
from visiontune.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from visiontune_kit import channels, errors, idempotency, identity, status
from visiontune_kit.database import NAMING, Database
from visiontune_kit.identity import Kind, Role
from visiontune_kit.server import Program, Rpc, ShuttingDown, running, stopping
from visiontune_kit.settings import ServerSettings

from tests.support import databases, trust

STORAGE = "visiontune.storage.v1.StorageService"
TRAINER = "visiontune.trainer.v1.TrainerService"


class QuotaExceeded(errors.ResourceExhausted):
    pass


@dataclass
class Storage(storage_pb2_grpc.StorageServiceServicer):
    """A servicer of the test's own: what it does is scripted, what stands before it is real."""

    ids: list[str] = field(default_factory=list)
    delay_s: float = 0.0
    fail_once: bool = False

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Any) -> pb.Upload:
        self.ids.append(idempotency.new_id("u"))
        await asyncio.sleep(self.delay_s)
        if self.fail_once:
            self.fail_once = False
            raise errors.Unavailable("The object store is away.")
        return pb.Upload(name=f"{request.parent}/uploads/{self.ids[-1]}")

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.Upload:
        raise RuntimeError("the password is hunter2")

    async def GetQuota(self, request: pb.GetQuotaRequest, context: Any) -> pb.Quota:
        principal = identity.current()
        return pb.Quota(name=request.name, etag=f"{principal.subject}/{principal.kind}")

    async def UpdateQuota(self, request: pb.UpdateQuotaRequest, context: Any) -> pb.Quota:
        raise QuotaExceeded("Needs 2 bytes; 1 is free.", resource=request.quota.name)

    async def UploadBytes(self, requests: AsyncIterator[pb.UploadBytesRequest], context: Any) -> pb.Upload:
        self.ids.append(idempotency.new_id("u"))
        count = [len(request.body.data) async for request in requests]
        return pb.Upload(name=self.ids[-1], size_bytes=sum(count))

    async def ListObjects(self, request: pb.ListObjectsRequest, context: Any) -> pb.ListObjectsResponse:
        await asyncio.sleep(30)
        return pb.ListObjectsResponse()


class Trainer(trainer_pb2_grpc.TrainerServiceServicer):
    async def WatchTrainingJob(
        self, request: Any, context: Any
    ) -> AsyncIterator[trainer_pb2.WatchTrainingJobResponse]:
        yield trainer_pb2.WatchTrainingJobResponse(cursor="1")
        if request.cursor == "wrong":
            raise errors.OutOfRange("The cursor is gone.")
        await stopping().wait()
        raise ShuttingDown


ACCESS = {
    f"/{STORAGE}/CreateUpload": Role.EDITOR,
    f"/{STORAGE}/GetUpload": Role.VIEWER,
    f"/{STORAGE}/GetQuota": Role.VIEWER,
    f"/{STORAGE}/UpdateQuota": Role.OPERATOR,
    f"/{STORAGE}/ListObjects": Role.VIEWER,
    f"/{STORAGE}/DeleteObjects": Role.EDITOR,
    f"/{STORAGE}/UploadBytes": Role.EDITOR,
    f"/{TRAINER}/WatchTrainingJob": Role.VIEWER,
}


@dataclass
class Running:
    address: str
    storage: Storage
    trust: trust.Trust
    channel: grpc.aio.Channel
    program: Program

    @property
    def stub(self) -> Any:
        return storage_pb2_grpc.StorageServiceStub(self.channel)


@asynccontextmanager
async def start(tmp_path: Path) -> AsyncIterator[Running]:
    database = Database.open(databases.url_in(tmp_path, "kit"))
    metadata = MetaData(naming_convention=NAMING)
    idempotency.table(metadata)
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    trusted = trust.make(tmp_path / "keys")
    storage = Storage()
    program = Program(
        name="test",
        settings=ServerSettings(issuers_file=trusted.issuers_file, stop_grace_s=2),
        rpcs=[
            Rpc(STORAGE, storage_pb2_grpc.add_StorageServiceServicer_to_server, storage),
            Rpc(TRAINER, trainer_pb2_grpc.add_TrainerServiceServicer_to_server, Trainer()),
        ],
        access=ACCESS,
        database=database,
        cross_project=frozenset({f"/{STORAGE}/UpdateQuota"}),
    )
    async with running(program) as address, grpc.aio.insecure_channel(address) as channel:
        yield Running(address, storage, trusted, channel, program)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with start(tmp_path) as started:
        yield started


def upload_request(request_id: str = "", filename: str = "a.tar.gz") -> pb.CreateUploadRequest:
    return pb.CreateUploadRequest(
        parent="projects/default",
        upload=pb.Upload(filename=filename, size_bytes=1, sha256="0" * 64),
        request_id=request_id,
    )


async def refusal(call: Any) -> tuple[grpc.StatusCode, errors.Failure]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), status.from_rpc_error(caught.value)


async def test_a_call_without_a_token_is_unauthenticated(server: Running) -> None:
    code, failure = await refusal(server.stub.GetQuota(pb.GetQuotaRequest(name="projects/default/quota")))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert failure.reason == "MissingToken"


async def test_a_token_of_a_stranger_is_not_believed(server: Running, tmp_path: Path) -> None:
    stranger = trust.make(tmp_path / "stranger")
    call = server.stub.GetQuota(
        pb.GetQuotaRequest(name="projects/default/quota"), metadata=stranger.metadata()
    )
    code, failure = await refusal(call)
    assert (code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "InvalidToken")


async def test_an_expired_token_is_not_believed(server: Running) -> None:
    token = server.trust.user_token(ttl_s=-3600)
    call = server.stub.GetQuota(
        pb.GetQuotaRequest(name="projects/default/quota"), metadata=[("authorization", f"Bearer {token}")]
    )
    code, failure = await refusal(call)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "expired" in failure.message


async def test_the_handler_sees_who_calls(server: Running) -> None:
    quota = await server.stub.GetQuota(
        pb.GetQuotaRequest(name="projects/default/quota"), metadata=server.trust.metadata()
    )
    assert quota.etag == f"key:default-editor/{Kind.USER}"


async def test_another_project_is_not_found(server: Running) -> None:
    call = server.stub.GetQuota(
        pb.GetQuotaRequest(name="projects/default/quota"), metadata=server.trust.metadata("other")
    )
    code, failure = await refusal(call)
    assert code is grpc.StatusCode.NOT_FOUND
    assert failure.resource == "projects/default"


async def test_an_operator_may_name_any_project_where_the_program_says_so(server: Running) -> None:
    metadata = server.trust.metadata("other", role=Role.OPERATOR)
    quota = pb.Quota(name="projects/default/quota", limit_bytes=1)
    code, _ = await refusal(server.stub.UpdateQuota(pb.UpdateQuotaRequest(quota=quota), metadata=metadata))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED  # the scripted answer: it was let through
    call = server.stub.GetQuota(pb.GetQuotaRequest(name=quota.name), metadata=metadata)
    assert (await refusal(call))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_role_that_is_too_low_is_denied(server: Running) -> None:
    code, failure = await refusal(
        server.stub.CreateUpload(upload_request(), metadata=server.trust.metadata(role=Role.VIEWER))
    )
    assert (code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "RoleTooLow")


async def test_a_method_without_a_row_is_denied(server: Running) -> None:
    call = server.stub.GetObject(
        pb.GetObjectRequest(name="projects/default/objects/o"), metadata=server.trust.metadata()
    )
    code, failure = await refusal(call)
    assert (code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NotListed")


async def test_broken_rules_are_named_by_field(server: Running) -> None:
    request = upload_request(filename="../evil")
    request.upload.sha256 = "xyz"
    code, failure = await refusal(server.stub.CreateUpload(request, metadata=server.trust.metadata()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert {violation.field for violation in failure.violations} == {"upload.filename", "upload.sha256"}


async def test_a_broken_rule_of_the_whole_message_is_named_too(server: Running) -> None:
    request = pb.DeleteObjectsRequest(parent="projects/default")
    code, failure = await refusal(server.stub.DeleteObjects(request, metadata=server.trust.metadata()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "exactly one of objects and owner" in failure.message


async def test_strangers_get_no_hints_about_rules(server: Running) -> None:
    code, _ = await refusal(server.stub.CreateUpload(upload_request(filename="../evil")))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_failure_arrives_with_reason_and_details(server: Running) -> None:
    call = server.stub.UpdateQuota(
        pb.UpdateQuotaRequest(quota=pb.Quota(name="projects/default/quota", limit_bytes=1)),
        metadata=server.trust.metadata(role=Role.OPERATOR),
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing: Any = caught.value.trailing_metadata()
    packed = status_pb2.Status.FromString(dict(trailing)[status.DETAILS_HEADER]).details
    assert [detail.type_url.rpartition(".")[2] for detail in packed] == [
        "ErrorInfo",
        "QuotaFailure",
        "ResourceInfo",
    ]
    info = error_details_pb2.ErrorInfo()
    packed[0].Unpack(info)
    assert (info.reason, info.domain) == ("QuotaExceeded", "visiontune.dev")


async def test_a_crash_tells_the_caller_nothing_but_an_incident(server: Running) -> None:
    code, failure = await refusal(
        server.stub.GetUpload(
            pb.GetUploadRequest(name="projects/default/uploads/u"), metadata=server.trust.metadata()
        )
    )
    assert code is grpc.StatusCode.INTERNAL
    assert "hunter2" not in failure.message
    assert failure.metadata["incident"] in failure.message


async def test_a_repeated_request_id_gets_the_first_answer(server: Running) -> None:
    request = upload_request(str(uuid.uuid4()))
    first = await server.stub.CreateUpload(request, metadata=server.trust.metadata())
    second = await server.stub.CreateUpload(request, metadata=server.trust.metadata())
    assert first == second
    assert len(server.storage.ids) == 1


async def test_a_request_id_with_another_body_is_refused(server: Running) -> None:
    request_id = str(uuid.uuid4())
    await server.stub.CreateUpload(upload_request(request_id), metadata=server.trust.metadata())
    code, failure = await refusal(
        server.stub.CreateUpload(
            upload_request(request_id, filename="b.tar.gz"), metadata=server.trust.metadata()
        )
    )
    assert (code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "RequestIdReused")


async def test_a_duplicate_in_flight_waits_for_the_first(server: Running) -> None:
    server.storage.delay_s = 0.3
    request = upload_request(str(uuid.uuid4()))
    calls = [server.stub.CreateUpload(request, metadata=server.trust.metadata()) for _ in range(5)]
    names = {upload.name for upload in await asyncio.gather(*calls)}
    assert len(names) == 1
    assert len(server.storage.ids) == 1


async def test_a_failed_call_is_forgotten_and_its_retry_derives_the_same_id(server: Running) -> None:
    server.storage.fail_once = True
    request = upload_request(str(uuid.uuid4()))
    code, _ = await refusal(server.stub.CreateUpload(request, metadata=server.trust.metadata()))
    assert code is grpc.StatusCode.UNAVAILABLE
    await server.stub.CreateUpload(request, metadata=server.trust.metadata())
    assert len(server.storage.ids) == 2
    assert len(set(server.storage.ids)) == 1


async def test_two_principals_may_use_the_same_request_id(server: Running) -> None:
    request = upload_request(str(uuid.uuid4()))
    first = await server.stub.CreateUpload(request, metadata=server.trust.metadata())
    second = await server.stub.CreateUpload(request, metadata=server.trust.metadata(role=Role.ADMIN))
    assert first != second


async def test_a_deadline_ends_the_call(server: Running) -> None:
    code, _ = await refusal(
        server.stub.ListObjects(
            pb.ListObjectsRequest(parent="projects/default"), metadata=server.trust.metadata(), timeout=0.3
        )
    )
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stream_ends_with_its_failure(server: Running) -> None:
    stub = trainer_pb2_grpc.TrainerServiceStub(server.channel)
    request = trainer_pb2.WatchTrainingJobRequest(name="projects/default/trainingJobs/j", cursor="wrong")
    seen = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in stub.WatchTrainingJob(request, metadata=server.trust.metadata()):
            seen.append(message.cursor)
    assert seen == ["1"]
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_a_watch_ends_with_unavailable_at_shutdown(tmp_path: Path) -> None:
    async with start(tmp_path) as server:
        stub = trainer_pb2_grpc.TrainerServiceStub(server.channel)
        request = trainer_pb2.WatchTrainingJobRequest(name="projects/default/trainingJobs/j")
        call = stub.WatchTrainingJob(request, metadata=server.trust.metadata())
        first: Any = await call.read()
        assert first.cursor == "1"
        stopping().set()
        code, failure = await refusal(call.read())
    assert (code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "ShuttingDown")


async def test_a_stream_of_requests_is_known_by_its_first(server: Running) -> None:
    first = pb.UploadBytesRequest(
        parent="projects/default", filename="a", sha256="0" * 64, request_id=str(uuid.uuid4())
    )
    pieces = [pb.UploadBytesRequest(body=httpbody_pb2.HttpBody(data=b"12")) for _ in range(3)]
    metadata = server.trust.metadata()
    answers = [
        await server.stub.UploadBytes(iter([first, *pieces]), metadata=metadata),
        await server.stub.UploadBytes(iter([first]), metadata=metadata),  # repeated: it is not read on
    ]
    assert [answer.size_bytes for answer in answers] == [6, 6]
    assert len(server.storage.ids) == 1
    for messages, code in (
        ([], grpc.StatusCode.INVALID_ARGUMENT),
        (pieces, grpc.StatusCode.PERMISSION_DENIED),  # about no project
        ([first, pb.UploadBytesRequest(parent="projects/other")], grpc.StatusCode.NOT_FOUND),
    ):
        first.request_id = str(uuid.uuid4())
        assert (await refusal(server.stub.UploadBytes(iter(messages), metadata=metadata)))[0] is code


async def test_a_stream_of_requests_has_a_deadline(server: Running) -> None:
    call = server.stub.UploadBytes(metadata=server.trust.metadata(), timeout=0.3)
    assert (await refusal(call))[0] is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_health_and_reflection_need_no_token(server: Running) -> None:
    health = health_pb2_grpc.HealthStub(server.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=STORAGE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(server.channel)

    async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for reply in reflection.ServerReflectionInfo(ask()):
        assert STORAGE in [service.name for service in reply.list_services_response.service]


async def test_a_service_calls_with_a_token_for_the_project_it_names(server: Running) -> None:
    async with channels.connect(server.address, tokens=server.trust.service_tokens("dataset")) as channel:
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        quota = await stub.GetQuota(pb.GetQuotaRequest(name="projects/seven/quota"))
        assert quota.etag == f"service:dataset/{Kind.SERVICE}"


async def test_failures_of_another_service_arrive_as_our_own(server: Running) -> None:
    async with channels.connect(server.address, tokens=server.trust.service_tokens("dataset")) as channel:
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        with pytest.raises(errors.PermissionDenied) as caught:
            await stub.UpdateQuota(
                pb.UpdateQuotaRequest(quota=pb.Quota(name="projects/seven/quota", limit_bytes=1))
            )
        assert caught.value.reason == "RoleTooLow"


async def test_two_servers_never_share_a_port(server: Running) -> None:
    port = int(server.address.rpartition(":")[2])
    taken = ServerSettings(port=port, issuers_file=server.trust.issuers_file)
    with pytest.raises(RuntimeError, match=str(port)):
        async with running(Program("second", taken, [], {})):
            pass


async def test_a_server_that_starts_late_is_reached_by_retries(tmp_path: Path) -> None:
    async with start(tmp_path) as first:
        port = int(first.address.rpartition(":")[2])
        trusted = first.trust
    async with channels.connect(f"127.0.0.1:{port}", tokens=trusted.service_tokens("dataset")) as channel:
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        call = asyncio.ensure_future(stub.GetQuota(pb.GetQuotaRequest(name="projects/seven/quota")))
        await asyncio.sleep(0.3)
        settings = ServerSettings(port=port, issuers_file=trusted.issuers_file)
        rpc = Rpc(STORAGE, storage_pb2_grpc.add_StorageServiceServicer_to_server, Storage())
        async with running(Program("late", settings, [rpc], ACCESS)):
            assert (await call).etag == "service:dataset/service"


@pytest.mark.usefixtures("dead_proxy")
async def test_programs_do_not_reach_each_other_through_a_proxy(server: Running) -> None:
    async with channels.connect(server.address, tokens=server.trust.service_tokens("dataset")) as channel:
        stub = storage_pb2_grpc.StorageServiceStub(channel)
        quota = await stub.GetQuota(pb.GetQuotaRequest(name="projects/default/quota"), timeout=3)
    assert quota.etag == "service:dataset/service"
