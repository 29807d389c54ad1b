"""Puts a folder's files where the trainer says, whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

from visiontune.worker.v1 import worker_pb2

from visiontune_worker.attempt import Attempt
from visiontune_worker.faults import PassingFault
from visiontune_worker.transfer import Transfer, UrlRefused, sha256_of

ROUNDS = 3


def upload_folder(
    attempt: Attempt, transfer: Transfer, source: Path, folder: str
) -> list[worker_pb2.UploadedFile]:
    """Uploads all files of `source` as `checkpoints/step-N` or `artifacts/A`; says what was PUT where.

    A refused URL means that it expired while the store was away: the round is repeated with fresh ones.
    """
    paths = sorted(path for path in source.rglob("*") if path.is_file() and path.stat().st_size > 0)
    wanted = [
        worker_pb2.FileToUpload(
            path=path.relative_to(source).as_posix(), size_bytes=path.stat().st_size, sha256=sha256_of(path)
        )
        for path in paths
    ]
    for _ in range(ROUNDS):
        uploads = attempt.create_uploads(folder, wanted)
        try:
            for path, upload in zip(paths, uploads, strict=True):
                _put(transfer, path, upload.part_size_bytes, upload.part_urls)
        except UrlRefused:
            continue
        return [worker_pb2.UploadedFile(path=each.path, upload=each.upload) for each in uploads]
    raise PassingFault(
        "UPLOAD_REFUSED", f"The object store refused the signed URLs of {folder} {ROUNDS} times."
    )


def _put(transfer: Transfer, path: Path, part_size_bytes: int, urls: Sequence[str]) -> None:
    size = path.stat().st_size
    part = part_size_bytes or size
    for number, url in enumerate(urls):
        start = number * part
        transfer.put(url, path, start=start, length=min(part, size - start))
