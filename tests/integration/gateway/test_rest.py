"""REST calls through a real gateway to a real gRPC server."""

import re
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from google.protobuf import json_format
from visiontune.dataset.v1 import dataset_pb2

from tests.integration.gateway.conftest import PIXELS, Client, Seen

DATASETS = "/v1/projects/default/datasets"
REQUEST_ID = "f3a86b70-9c0b-4a39-8d4c-0f2a8dc3e0a1"


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["details"][0]["reason"]
    return found


async def test_a_call_reaches_its_service_and_comes_back(operator: Client, seen: Seen) -> None:
    answer = await operator.post(
        DATASETS, params={"datasetId": "digits", "request_id": REQUEST_ID}, json={"displayName": "Ziffern ✓"}
    )
    assert answer.status_code == 200
    assert answer.json() == {"name": "projects/default/datasets/digits", "displayName": "Ziffern ✓"}
    assert seen.requests == [
        dataset_pb2.CreateDatasetRequest(
            parent="projects/default",
            dataset_id="digits",
            request_id=REQUEST_ID,
            dataset=dataset_pb2.Dataset(display_name="Ziffern ✓"),
        )
    ]


async def test_a_mutation_without_a_request_id_gets_one(operator: Client, seen: Seen) -> None:
    for _ in range(2):
        await operator.post(DATASETS, params={"datasetId": "digits"}, json={})
    first, second = (uuid.UUID(request.request_id) for request in seen.requests)
    assert first.version == second.version == 4
    assert first != second


async def test_the_service_sees_who_calls_but_never_the_key(operator: Client, seen: Seen) -> None:
    await operator.get(f"{DATASETS}/digits")
    assert seen.subjects == [f"key:{operator.key.split('_')[1]}"]


async def test_a_patch_carries_its_mask(operator: Client, seen: Seen) -> None:
    params = {"updateMask": "display_name", "requestId": REQUEST_ID}
    await operator.call("PATCH", f"{DATASETS}/d", params=params, json={"displayName": "x"})
    assert json_format.MessageToDict(seen.requests[0], preserving_proto_field_name=True) == {
        "dataset": {"name": "projects/default/datasets/d", "display_name": "x"},
        "update_mask": "displayName",
        "request_id": REQUEST_ID,
    }


async def test_a_failure_of_the_service_arrives_whole(operator: Client) -> None:
    answer = await operator.post(DATASETS, params={"dataset_id": "taken"}, json={})
    assert answer.status_code == 409
    assert answer.json()["code"] == 6
    assert reason(answer) == "DatasetExists"
    assert answer.json()["details"][1]["resourceName"] == "projects/default/datasets/taken"


async def test_rules_of_the_proto_are_field_violations(operator: Client) -> None:
    job = {
        "spec": {"datasetVersion": "projects/default/datasets/d/versions/v1", "baseModel": {"preset": "t"}}
    }
    job["spec"]["hyperparameters"] = {"learningRate": 0}
    answer = await operator.post("/v1/projects/default/trainingJobs", json=job)
    assert answer.status_code == 400
    (violation,) = answer.json()["details"][1]["fieldViolations"]
    assert violation["field"] == "training_job.spec.hyperparameters.learning_rate"


async def test_text_where_a_number_belongs_is_a_field_violation_too(operator: Client, seen: Seen) -> None:
    job = {"spec": {"hyperparameters": {"learningRate": "fast"}}}
    answer = await operator.post("/v1/projects/default/trainingJobs", json=job)
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        'training_job.spec.hyperparameters.learning_rate: "fast" is not a number.'
    )
    assert seen.requests == []


async def test_an_operation_shows_its_typed_progress(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/d/operations/o-1")
    assert answer.json()["metadata"] == {
        "@type": "type.googleapis.com/visiontune.dataset.v1.ImportVersionMetadata",
        "recordCount": "3",
    }
    assert answer.json()["response"]["exampleCount"] == "3"


async def test_image_bytes_are_sent_as_they_are(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/d/versions/v1/examples/0:image")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == PIXELS


@pytest.mark.parametrize("path", ["d/versions/v1/examples/0:image", "d/versions/v1/thumbnails"])
async def test_pictures_that_a_browser_has_are_not_sent_again(operator: Client, path: str) -> None:
    first = await operator.get(f"{DATASETS}/{path}")
    assert first.headers["cache-control"] == "private, max-age=300, immutable"
    assert first.headers["vary"] == "Authorization"
    etag = first.headers["etag"]
    for known in (etag, f'"another", W/{etag}'):
        again = await operator.get(f"{DATASETS}/{path}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert "content-type" not in again.headers
    changed = await operator.get(f"{DATASETS}/{path}", headers={"If-None-Match": '"another"'})
    assert (changed.status_code, changed.content) == (200, first.content)


@pytest.mark.parametrize(("left_s", "kept_s"), [(300, 300), (200_000, 86_400), (-5, 0)])
async def test_linked_pictures_need_no_key_and_may_be_kept_by_all(
    http: httpx.AsyncClient, seen: Seen, left_s: int, kept_s: int
) -> None:
    answer = await http.get(f"/v1/images/{left_s}")
    assert (answer.status_code, answer.content) == (200, PIXELS)
    [found] = re.findall(r"^public, max-age=(\d+), immutable$", answer.headers["cache-control"])
    assert kept_s - 2 <= int(found) <= kept_s
    assert "vary" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == "*"
    etag = answer.headers["etag"]
    again = await http.get(f"/v1/images/{left_s}", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    # A key that comes along is nobody's business here.
    await http.get(f"/v1/images/{left_s}", headers={"Authorization": "Bearer vt_wrong"})
    assert set(seen.subjects) == {"anyone"}


async def test_a_link_that_is_none_is_refused_and_forgotten(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/images/wrong")
    assert (answer.status_code, answer.headers["cache-control"]) == (403, "no-store")
    assert reason(answer) == "ImageLinkInvalid"


async def test_what_can_change_is_not_kept(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/d", headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("verb", "path", "code"),
    [
        ("GET", "/v1/projects/default/datasets/d/", 404),
        ("GET", "/v1/projects/default/datasets/d:nope", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1", 404),
        ("PUT", "/v1/projects/default/datasets/d", 405),
        ("HEAD", "/v1/projects/default/datasets/d", 405),
        ("OPTIONS", "/v1/projects/default/datasets/d", 405),
    ],
)
async def test_what_is_not_offered_is_told_as_a_status(
    operator: Client, verb: str, path: str, code: int
) -> None:
    answer = await operator.call(verb, path)
    assert answer.status_code == code
    if verb != "HEAD":
        assert answer.json()["message"]


async def test_unknown_parameters_and_fields_are_refused(operator: Client, seen: Seen) -> None:
    answer = await operator.post(
        DATASETS, params={"dataset_id": "d", "dry_run": "1"}, json={"displayNam": "x"}
    )
    assert answer.status_code == 400
    fields = [one["field"] for one in answer.json()["details"][1]["fieldViolations"]]
    assert fields == ["dataset.displayNam", "dry_run"]
    assert seen.requests == []


async def test_a_query_that_is_not_utf8_is_refused(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/d?force=%ff")
    assert answer.status_code == 400
    assert reason(answer) == "UnreadableRequest"


async def test_a_large_body_is_refused_unread(operator: Client) -> None:
    answer = await operator.post(DATASETS, content=b" " * 70_000)
    assert answer.status_code == 413
    assert reason(answer) == "RequestTooLarge"


async def test_a_large_body_without_a_length_is_refused_as_well(operator: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 10_000

    answer = await operator.post(DATASETS, content=chunks())
    assert answer.status_code == 413


async def test_a_service_that_is_away_is_named_and_nothing_else(operator: Client) -> None:
    answer = await operator.get("/v1/projects/default/objects")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "storage service" in answer.json()["message"]
    assert "127.0.0.1" not in answer.text


async def test_the_caller_may_set_a_deadline(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/slow", headers={"X-Request-Timeout": "0.3"})
    assert answer.status_code == 504
    assert answer.json()["code"] == 4


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
async def test_a_deadline_must_be_seconds(operator: Client, seconds: str) -> None:
    answer = await operator.get(f"{DATASETS}/d", headers={"X-Request-Timeout": seconds})
    assert answer.status_code == 400
    assert answer.json()["details"][1]["fieldViolations"][0]["field"] == "x-request-timeout"


async def test_a_crash_tells_an_incident_and_no_secret(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/crash")
    assert answer.status_code == 500
    assert reason(answer) == "Crashed"
    assert "secret" not in answer.text


async def test_one_trace_runs_through(operator: Client, seen: Seen) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    await operator.get(f"{DATASETS}/d", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert re.fullmatch(rf"00-{trace}-[0-9a-f]{{16}}-01", seen.traces[0])


async def test_no_other_origin_may_read(operator: Client) -> None:
    answer = await operator.get(f"{DATASETS}/d", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
