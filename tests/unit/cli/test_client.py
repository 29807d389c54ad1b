"""The client against a scripted server (a double at a process border; see scripted_http)."""

import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
import urllib3
from visiontune import Client, errors, transport
from visiontune.dataset.v1 import dataset_pb2
from visiontune.trainer.v1 import trainer_pb2

from tests.support.scripted_http import Answer, Seen, as_json, scripted

UNAVAILABLE = {"code": 14, "message": "Not yet."}


def client_of(url: str, **options: object) -> Client:
    return Client(url, "vt_k_s", project="p", **options)  # type: ignore[arg-type] # options of a test


def test_a_mutation_is_repeated_with_the_same_request_id_until_the_server_is_back() -> None:
    answers = iter([as_json(UNAVAILABLE, 503), Answer(cut=True), as_json({"name": "projects/p/datasets/d"})])
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        assert client.create_dataset("d").name == "projects/p/datasets/d"
    ids = {request.path.partition("request_id=")[2] for request in server.seen}
    assert len(server.seen) == 3
    assert len(ids) == 1
    uuid.UUID(ids.pop())


def test_a_refusal_is_not_repeated_and_keeps_reason_and_violations() -> None:
    status = {
        "code": 3,
        "message": "The job has problems.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {"field": "spec.hyperparameters.learning_rate", "description": "must be above 0"}
                ],
            },
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "InvalidJob",
                "domain": "visiontune.dev",
                "metadata": {"job": "j"},
            },
        ],
    }
    with (
        scripted(lambda _seen: as_json(status, 400)) as server,
        client_of(server.url) as client,
        pytest.raises(errors.InvalidArgument) as caught,
    ):
        client.create_job(trainer_pb2.TrainingJob())
    assert caught.value.reason == "InvalidJob"
    assert caught.value.metadata == {"job": "j"}
    assert caught.value.violations[0].field == "spec.hyperparameters.learning_rate"
    assert len(server.seen) == 1


def test_a_full_quota_is_not_waited_for() -> None:
    status = {"code": 8, "message": "Needs 5 bytes; 2 are free."}
    with (
        scripted(lambda _seen: as_json(status, 429)) as server,
        client_of(server.url) as client,
        pytest.raises(errors.ResourceExhausted, match="5 bytes"),
    ):
        client.get_quota()
    assert len(server.seen) == 1


def test_a_limit_that_says_when_is_waited_for() -> None:
    answers = iter(
        [as_json({"code": 8, "message": "Slow down."}, 429, retry_after="0"), as_json({"limitBytes": "7"})]
    )
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        assert client.get_quota().limit_bytes == 7


def test_a_server_that_never_answered_is_given_up_soon_and_named() -> None:
    with scripted(lambda _seen: Answer()) as server:
        pass
    with client_of(server.url) as client, pytest.raises(errors.Unreachable, match="visiontune up"):
        client._transport.first_patience_s = 0.5
        client.get_quota()


def test_an_answer_of_something_else_is_no_success() -> None:
    with (
        scripted(lambda _seen: Answer(body=b"<html>")) as server,
        client_of(server.url) as client,
        pytest.raises(errors.ApiFailure, match="Is it a VisionTune server"),
    ):
        client.get_quota()


def test_a_proxy_error_in_another_form_is_still_an_api_failure() -> None:
    with (
        scripted(lambda _seen: Answer(404, b"not here")) as server,
        client_of(server.url) as client,
        pytest.raises(errors.ApiFailure, match="answered 404"),
    ):
        client.get_quota()


def test_every_call_carries_the_key_and_one_trace() -> None:
    with scripted(lambda _seen: as_json({})) as server, client_of(server.url, trace_id="a" * 32) as client:
        client.get_quota()
        client.get_quota()
    assert {request.headers["authorization"] for request in server.seen} == {"Bearer vt_k_s"}
    parents = [request.headers["traceparent"] for request in server.seen]
    assert all(parent.startswith("00-" + "a" * 32) for parent in parents)
    assert parents[0] != parents[1]


def test_lists_go_on_page_after_page() -> None:
    def script(seen: Seen) -> Answer:
        first = "page_token" not in seen.path
        return as_json(
            {"datasets": [{"name": "a" if first else "b"}], **({"nextPageToken": "n"} if first else {})}
        )

    with scripted(script) as server, client_of(server.url) as client:
        assert [dataset.name for dataset in client.list_datasets()] == ["a", "b"]


def test_fields_of_a_newer_server_are_ignored() -> None:
    with (
        scripted(lambda _seen: as_json({"name": "d", "colour": "red"})) as server,
        client_of(server.url) as client,
    ):
        assert client.get_dataset("d") == dataset_pb2.Dataset(name="d")


def test_the_project_is_the_keys_own() -> None:
    with scripted(lambda _seen: as_json({"project": "projects/mine"})) as server:
        assert Client(server.url, "k").project == "projects/mine"


def operation(**fields: object) -> Answer:
    kind = "type.googleapis.com/visiontune.dataset.v1"
    metadata = {"@type": f"{kind}.ImportVersionMetadata", "imageCount": "3"}
    return as_json({"name": "projects/p/datasets/d/operations/o", "metadata": metadata, **fields})


def test_waiting_polls_until_the_operation_is_done() -> None:
    version = {"@type": "type.googleapis.com/visiontune.dataset.v1.DatasetVersion", "exampleCount": "9"}
    answers = iter([operation(), as_json(UNAVAILABLE, 503), operation(done=True, response=version)])
    seen: list[bool] = []
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        started = client.get_operation("projects/p/datasets/d/operations/o")
        done = client.wait(started, progress=lambda now: seen.append(now.done))
    unpacked = dataset_pb2.DatasetVersion()
    assert done.response.Unpack(unpacked)
    assert unpacked.example_count == 9
    assert seen == [False, True]


def test_an_operation_that_failed_raises_what_it_ended_with() -> None:
    error = {"code": 8, "message": "Needs more."}
    with (
        scripted(lambda _seen: operation(done=True, error=error)) as server,
        client_of(server.url) as client,
        pytest.raises(errors.ResourceExhausted, match="Needs more"),
    ):
        client.wait(client.get_operation("projects/p/datasets/d/operations/o"))


def test_waiting_ends_in_time() -> None:
    with (
        scripted(lambda _seen: operation()) as server,
        client_of(server.url) as client,
        pytest.raises(errors.WaitTimeout, match="goes on"),
    ):
        client.wait(client.get_operation("projects/p/datasets/d/operations/o"), timeout_s=0.1)


def event(cursor: str, step: int) -> str:
    return f'id: {cursor}\nevent: message\ndata: {{"cursor":"{cursor}","metric":{{"step":"{step}"}}}}\n\n'


def stream(*parts: str, cut: bool = False) -> Answer:
    return Answer(body="".join(parts).encode(), headers={"content-type": "text/event-stream"}, cut=cut)


DONE = "event: done\ndata: {}\n\n"


def steps_of(client: Client) -> list[int]:
    return [update.metric.step for update in client.watch_job("j")]


def test_a_watch_goes_on_after_the_last_message_it_saw() -> None:
    answers = iter(
        [
            stream("retry: 3000\n\n", ": hello\n\n", event("c1", 1), event("c2", 2), cut=True),
            as_json(UNAVAILABLE, 503),
            stream(event("c3", 3), DONE),
        ]
    )
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        assert steps_of(client) == [1, 2, 3]
    assert [request.headers.get("last-event-id") for request in server.seen] == [None, "c2", "c2"]


def test_a_stream_that_ends_without_done_is_taken_up_again() -> None:
    answers = iter([stream(event("c1", 1)), stream(event("c2", 2), DONE)])
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        assert steps_of(client) == [1, 2]


def test_a_server_that_stops_is_waited_for() -> None:
    stopping = 'event: error\ndata: {"code":14,"message":"Stopping."}\n\n'
    answers = iter([stream(event("c1", 1), stopping), stream(event("c2", 2), DONE)])
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        assert steps_of(client) == [1, 2]


def test_an_error_in_the_stream_is_raised() -> None:
    gone = 'event: error\ndata: {"code":5,"message":"No such job."}\n\n'
    with (
        scripted(lambda _seen: stream(event("c1", 1), gone)) as server,
        client_of(server.url) as client,
        pytest.raises(errors.NotFound, match="No such job"),
    ):
        steps_of(client)


@pytest.mark.usefixtures("dead_proxy")
def test_a_proxy_is_asked_for_other_machines_alone() -> None:
    with scripted(lambda _seen: as_json({"limitBytes": "7"})) as server, client_of(server.url) as client:
        assert client.get_quota().limit_bytes == 7
    with (
        transport.http_client("http://visiontune.example.org", 1) as http,
        pytest.raises(httpx.ConnectError, match="refused"),
    ):
        http.get("http://visiontune.example.org/healthz")
    with (
        transport.bytes_client("http://visiontune.example.org", 1, 1) as http,
        pytest.raises(urllib3.exceptions.ProxyError),
    ):
        http.request("GET", "http://visiontune.example.org/object")


def test_half_an_event_is_not_an_event() -> None:
    answers = iter([stream(event("c1", 1), 'id: c2\ndata: {"cursor', cut=True), stream(event("c2", 2), DONE)])
    with scripted(lambda _seen: next(answers)) as server, client_of(server.url) as client:
        assert steps_of(client) == [1, 2]


def test_a_version_can_be_named_shortly() -> None:
    dataset = {"name": "projects/p/datasets/d", "latestVersion": "projects/p/datasets/d/versions/v7"}
    with scripted(lambda _seen: as_json(dataset)) as server, client_of(server.url) as client:
        assert client.version_name("d/v2") == "projects/p/datasets/d/versions/v2"
        assert client.version_name("projects/q/datasets/d/versions/v3") == "projects/q/datasets/d/versions/v3"
        assert client.version_name("d") == "projects/p/datasets/d/versions/v7"


def test_the_newest_version_of_an_empty_dataset_is_an_error_with_the_next_command() -> None:
    with (
        scripted(lambda _seen: as_json({"name": "projects/p/datasets/d"})) as server,
        client_of(server.url) as client,
        pytest.raises(errors.FailedPrecondition, match="dataset import"),
    ):
        client.version_name("d")


def test_contracts_cost_nothing_else(tmp_path: Path) -> None:
    heavy = "('httpx', 'typer', 'rich', 'torch')"
    code = f"import sys, visiontune.trainer.v1; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"
