"""Validates data without a server: the import itself, whose shards are thrown away as they are made."""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from visiontune_data.formats import AUTO, FORMATS
from visiontune_data.ingest import Options, Outcome, Progress, ingest
from visiontune_data.inputs import Input
from visiontune_data.local import FolderSource, LocalSource
from visiontune_data.shards import Shard

from visiontune.cli.failures import Failed


def validate(
    paths: Sequence[Path], format_: str, *, skip_errors: bool, progress: Callable[[int, int], None]
) -> Outcome:
    """What an import of these archives, files of records and folders would find. Raises Failed, OSError."""
    if format_ not in {AUTO, *FORMATS}:
        raise Failed(f'There is no format "{format_}".', f"Formats: {', '.join([AUTO, *FORMATS])}.")

    def show(seen: Progress) -> None:
        progress(seen.percent, 100)

    options = Options(format=format_, skip_errors=skip_errors, processes=os.cpu_count() or 1)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="visiontune-validate-")))
        (source, name), *more = [_input(path, stack) for path in paths]
        return ingest(source, name, scratch, options, more=more, progress=show, finished=_throw_away)


def _input(path: Path, stack: ExitStack) -> Input:
    opened = FolderSource(path) if path.is_dir() else LocalSource.open(path)
    stack.callback(opened.close)
    return Input(opened, f"{path.resolve().name}.tar" if path.is_dir() else path.name)


def _throw_away(shard: Shard) -> None:
    for file in (shard.examples, shard.preview):
        file.path.unlink()
