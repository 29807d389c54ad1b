"""Transfers against a scripted gateway and object store (a double at a process border; see scripted_http)."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from visiontune import Client, errors, uploads
from visiontune.methods import storage
from visiontune.trainer.v1 import trainer_pb2

from tests.support.scripted_http import Answer, Seen, as_json, scripted

DATA = bytes(range(256)) * 40  # 10,240 bytes: three parts
PART = 4096


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_PAUSE_S", 0.01)


class FakeStore:
    """Gateway and object store in one; `put` decides what a PUT answers."""

    def __init__(self, put: Callable[[int, int], Answer | None] = lambda _n, _t: None) -> None:
        self.put = put
        self.parts: dict[int, bytes] = {}
        self.tries: dict[int, int] = {}
        self.signed = 0
        self.unready: list[Answer] = []
        self.completed: list[dict[str, object]] = []
        self.sha256 = hashlib.sha256(DATA).hexdigest()
        self.base = ""
        self.lock = threading.Lock()

    def upload(self, state: str = "STATE_PENDING") -> Answer:
        self.signed += 1
        urls = [{"partNumber": n, "url": f"{self.base}/s3/{n}?sig={self.signed}"} for n in (1, 2, 3)]
        have = [{"partNumber": n, "etag": f"e{n}", "sizeBytes": str(len(d))} for n, d in self.parts.items()]
        return as_json(
            {
                "name": "projects/p/uploads/u",
                "sizeBytes": str(len(DATA)),
                "sha256": self.sha256,
                "state": state,
                "partSizeBytes": str(PART),
                "partUrls": urls if state == "STATE_PENDING" else [],
                "receivedParts": have,
            }
        )

    def script(self, seen: Seen) -> Answer:
        if seen.method == "PUT":
            number = int(seen.path.split("/")[2].partition("?")[0])
            with self.lock:
                self.tries[number] = self.tries.get(number, 0) + 1
            answer = self.put(number, self.tries[number])
            if answer is None:
                self.parts[number] = seen.body
                return Answer(headers={"etag": f"e{number}"})
            return answer
        if seen.path.endswith(":complete"):
            if self.unready:
                return self.unready.pop(0)
            self.completed = seen.json["parts"]
            return self.upload("STATE_COMPLETE")
        return self.upload()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(DATA)
    return path


def send(store: FakeStore, path: Path, **options: object) -> list[Seen]:
    with scripted(store.script) as server, Client(server.url, "secret-key", project="p") as client:
        store.base = server.url
        client.upload(path, **options)
    return server.seen


def test_parts_arrive_whole_and_are_completed_in_order(archive: Path) -> None:
    store = FakeStore()
    told: list[tuple[int, int]] = []
    seen = send(store, archive, progress=lambda done, total: told.append((done, total)))
    assert b"".join(store.parts[n] for n in (1, 2, 3)) == DATA
    assert store.completed == [{"part_number": n, "etag": f"e{n}"} for n in (1, 2, 3)]
    assert told[-1] == (len(DATA), len(DATA))
    created = next(request for request in seen if request.method == "POST")
    assert created.json == {"filename": "a.tar.gz", "size_bytes": str(len(DATA)), "sha256": store.sha256}


def test_completing_is_asked_for_again_while_the_server_reads_the_object(archive: Path) -> None:
    store = FakeStore()
    late = {"code": 4, "message": "The deadline passed before the call was done."}
    store.unready = [as_json(late, 504), Answer(504, b"<html>a proxy's words</html>"), as_json(late, 504)]
    seen = send(store, archive)
    ids = {request.json["request_id"] for request in seen if request.path.endswith(":complete")}
    assert store.completed
    assert len(ids) == 1


def test_completing_is_given_up_in_the_end(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_COMPLETE_TIMEOUT_S", 0.5)
    store = FakeStore()
    store.unready = [as_json({"code": 4, "message": "Too late."}, 504) for _ in range(100)]
    with pytest.raises(errors.DeadlineExceeded, match=r"Too late\."):
        send(store, archive)
    assert 1 < 100 - len(store.unready) < 10


def test_the_key_is_never_shown_to_the_object_store(archive: Path) -> None:
    seen = send(FakeStore(), archive)
    assert all("authorization" not in request.headers for request in seen if request.method == "PUT")


def test_a_part_is_sent_again_after_a_passing_failure(archive: Path) -> None:
    store = FakeStore(lambda number, tries: Answer(500) if number == 2 and tries < 3 else None)
    told: list[int] = []
    send(store, archive, progress=lambda done, _total: told.append(done))
    assert store.tries == {1: 1, 2: 3, 3: 1}
    assert told[-1] == len(DATA)


def test_an_expired_url_is_signed_again(archive: Path) -> None:
    store = FakeStore(lambda number, tries: Answer(403) if number == 1 and tries == 1 else None)
    seen = send(store, archive)
    assert any("sig=2" in request.path for request in seen if request.method == "PUT")


def test_an_upload_that_breaks_off_names_itself_and_resumes_without_what_arrived(archive: Path) -> None:
    store = FakeStore(lambda number, _tries: Answer(500) if number == 3 else None)
    with pytest.raises(errors.UploadFailed, match="Part 3") as caught:
        send(store, archive)
    assert caught.value.upload == "projects/p/uploads/u"
    store.put = lambda _number, _tries: None
    store.tries.clear()
    send(store, archive, resume=caught.value.upload)
    assert store.tries == {3: 1}
    assert len(store.completed) == 3


def test_an_upload_is_named_before_its_first_byte_is_sent(archive: Path) -> None:
    said: list[str] = []
    store = FakeStore(lambda _number, _tries: None if said else Answer(500))
    send(store, archive, begun=lambda upload: said.append(upload.name))
    send(store, archive, resume=said[0], begun=lambda upload: said.append(upload.name))
    assert said == ["projects/p/uploads/u"]


def test_another_file_cannot_resume_an_upload(archive: Path) -> None:
    archive.write_bytes(b"something else")
    with pytest.raises(errors.UploadFailed, match="is not the file"):
        send(FakeStore(), archive, resume="projects/p/uploads/u")


def file_of(url: str, data: bytes, path: str = "sub/weights.bin") -> trainer_pb2.ArtifactFile:
    return trainer_pb2.ArtifactFile(
        path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), url=f"{url}/f"
    )


def one_after_the_other(scripts: Iterator[Callable[[Seen], Answer]]) -> Callable[[Seen], Answer]:
    def script(seen: Seen) -> Answer:
        return next(scripts)(seen)

    return script


def ranged(seen: Seen) -> Answer:
    start = int(seen.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
    return Answer(206 if start else 200, DATA[start:])


def test_a_download_goes_on_where_the_connection_broke(tmp_path: Path) -> None:
    answers = iter([lambda _seen: Answer(body=DATA[:5000], cut=True), ranged])
    with scripted(one_after_the_other(answers)) as server:
        paths = uploads.download([file_of(server.url, DATA)], tmp_path)
    assert paths == [tmp_path / "sub" / "weights.bin"]
    assert paths[0].read_bytes() == DATA
    assert server.seen[1].headers["range"] == "bytes=5000-"


def test_a_download_bears_a_store_that_ignores_ranges(tmp_path: Path) -> None:
    answers = iter([Answer(body=DATA[:5000], cut=True), Answer(body=DATA)])
    with scripted(lambda _seen: next(answers)) as server:
        paths = uploads.download([file_of(server.url, DATA)], tmp_path)
    assert paths[0].read_bytes() == DATA


def test_a_download_bears_a_store_that_calls_a_part_200(tmp_path: Path) -> None:
    rest = Answer(body=DATA[5000:], headers={"content_range": f"bytes 5000-{len(DATA) - 1}/{len(DATA)}"})
    answers = iter([Answer(body=DATA[:5000], cut=True), rest])
    with scripted(lambda _seen: next(answers)) as server:
        paths = uploads.download([file_of(server.url, DATA)], tmp_path)
    assert paths[0].read_bytes() == DATA


def test_a_damaged_file_is_refused_and_not_left_behind(tmp_path: Path) -> None:
    with (
        scripted(lambda _seen: Answer(body=DATA[:-1] + b"x")) as server,
        pytest.raises(errors.TransferFailed, match="arrived damaged"),
    ):
        uploads.download([file_of(server.url, DATA)], tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_there_already_is_not_fetched(tmp_path: Path) -> None:
    with scripted(ranged) as server:
        for _ in range(2):
            uploads.download([file_of(server.url, DATA)], tmp_path)
    assert len(server.seen) == 1


@pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "a/../../b", ""])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with scripted(ranged) as server, pytest.raises(errors.TransferFailed, match="outside"):
        uploads.download([file_of(server.url, DATA, path)], tmp_path / "deep")
    assert not (tmp_path / "evil").exists()


def test_a_file_that_is_gone_fails_with_the_answer(tmp_path: Path) -> None:
    with scripted(lambda _seen: Answer(404)) as server, pytest.raises(errors.TransferFailed, match="404"):
        uploads.download([file_of(server.url, DATA)], tmp_path)
