"""Programs beside the trackers that `make test-parity` installs: the worker, and what reads what it told.

    python -m tests.support.trackers work
    python -m tests.support.trackers prepare|read mlflow|trackio|wandb FOLDER

They come behind all that is installed here, so that nothing of it is replaced. `read` prints JSON: of the one
run its name, what it is compared by, and the losses by step.
"""

import json
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "build" / "trackers"
_BLOCK, _HEAD = 32_768, struct.Struct("<IHB")
Read = tuple[str, Mapping[str, Any], Mapping[int, float]]


def mlflow(_folder: Path) -> Read:
    """From the database that MLFLOW_TRACKING_URI names."""
    from mlflow import MlflowClient  # type: ignore[import-not-found]  # noqa: PLC0415

    client = MlflowClient()
    experiment = client.get_experiment_by_name("p")
    [run] = client.search_runs([experiment.experiment_id])
    points = client.get_metric_history(run.info.run_id, "loss")
    return run.info.run_name, run.data.params, {each.step: each.value for each in points}


def trackio(_folder: Path) -> Read:
    """From the files below TRACKIO_DIR."""
    from trackio.sqlite_storage import SQLiteStorage  # type: ignore[import-not-found]  # noqa: PLC0415

    [run] = SQLiteStorage.get_runs("p")
    logs = SQLiteStorage.get_logs("p", run)
    losses = {each["step"]: each["loss"] for each in logs if "loss" in each}
    return run, SQLiteStorage.get_run_config("p", run), losses


def wandb(folder: Path) -> Read:
    """From the one file of a run that was never synchronised."""
    from wandb.proto import wandb_internal_pb2  # type: ignore[import-not-found]  # noqa: PLC0415

    [file] = folder.glob("wandb/offline-run-*/run-*.wandb")
    name, about, losses = "", {}, {}
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        name = record.run.display_name or name
        for item in (*record.run.config.update, *record.config.update):
            about[item.key] = json.loads(item.value_json)
        values = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        if "loss" in values:
            losses[record.history.step.num] = json.loads(values["loss"])
    return name, about, losses


def _records(written: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes it, behind seven bytes of its own: blocks of pieces with heads.

    A head is a checksum, a length and a kind: whole (1), the first piece (2), a middle one or the last (4).
    """
    place, record = 7, b""
    while place < len(written):
        left = _BLOCK - place % _BLOCK
        if left < _HEAD.size:  # Too little for a head, so nothing.
            place += left
            continue
        _, length, kind = _HEAD.unpack_from(written, place)
        place += _HEAD.size
        record += written[place : place + length]
        place += length
        if kind in {1, 4}:
            yield record
            record = b""


def prepare(name: str) -> None:
    """What an operator has before a worker comes: a database takes long to make."""
    if name == "mlflow":
        from mlflow import MlflowClient  # noqa: PLC0415

        MlflowClient().search_experiments()


READERS: Mapping[str, Callable[[Path], Read]] = {"mlflow": mlflow, "trackio": trackio, "wandb": wandb}


if __name__ == "__main__":
    sys.path.append(str(FOLDER))
    if sys.argv[1] == "work":
        from visiontune_worker.__main__ import main

        sys.exit(main())
    if sys.argv[1] == "prepare":
        prepare(sys.argv[2])
    else:
        sys.stdout.write(json.dumps(READERS[sys.argv[2]](Path(sys.argv[3]))))
