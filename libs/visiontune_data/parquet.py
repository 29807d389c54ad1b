"""Hugging Face's Parquet files: rows whose images are structs of bytes and path, in and out."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from visiontune_data.archive.refused import refuse
from visiontune_data.columns import COLUMNS, PICTURES, parquet_options, schema
from visiontune_data.exported import ExportedImage
from visiontune_data.limits import Limits
from visiontune_data.naming import EMBEDDED, ImageNames
from visiontune_data.report import Place
from visiontune_data.shards import ROW_GROUP_ROWS
from visiontune_data.text import shorten

_BATCH_ROWS = 16
_IMAGE = {"bytes", "path"}

Take = Callable[[str, bytes], None]


def unpack(file: BinaryIO, path: str, names: ImageNames, limits: Limits, take: Take) -> Iterator[bytes]:
    """The rows as lines of JSON without what is null. `take` gets each image and the path that stands for it.

    Raises archive.Refused when the file cannot be read, or unpacks to too much.
    """
    try:
        table = pq.ParquetFile(file)
        size = sum(table.metadata.row_group(i).total_byte_size for i in range(table.num_row_groups))
        if size > limits.archive_bytes:
            message = f"the file unpacks to {size:,} bytes; at most {limits.archive_bytes:,} are read"
            raise refuse("archive-bomb", message, place=Place(path))
        for batch in table.iter_batches(_BATCH_ROWS):
            for row in batch.to_pylist():
                yield (
                    json.dumps(_plain(row, names, take), ensure_ascii=False, default=_shown).encode() + b"\n"
                )
    except (pa.ArrowException, OSError) as error:
        reason = shorten(str(error).partition(". ")[0].strip())
        raise refuse("parquet-corrupt", f"the file cannot be read ({reason})", place=Place(path)) from error


def _plain(value: Any, names: ImageNames, take: Take) -> Any:
    """The value with paths for images, and without the nulls that Parquet has for absent fields."""
    if isinstance(value, dict):
        if value.keys() == _IMAGE:
            return _image(value, names, take)
        return {key: _plain(child, names, take) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_plain(child, names, take) for child in value]
    return value


def _image(value: Mapping[str, Any], names: ImageNames, take: Take) -> str:
    if not isinstance(value["bytes"], bytes):
        return str(value["path"])
    image = ExportedImage.from_row(value)
    path, is_new = names.take(image, EMBEDDED)
    if is_new:
        take(path, image.data)
    return path


def _shown(value: Any) -> str:
    """Text for what JSON has no type for: times, decimals, bytes."""
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)


class ParquetSink:
    """A file of rows that is being written, with the columns that some row has a value in."""

    def __init__(self) -> None:
        self._schema = schema(list(COLUMNS))
        self._all, self._used = self._new(), self._new()
        self._writer = pq.ParquetWriter(self._all, self._schema, **parquet_options(self._schema, PICTURES))
        self._rows: list[Mapping[str, Any]] = []
        self._columns: set[str] = set()

    def _new(self) -> IO[bytes]:
        return tempfile.TemporaryFile()

    def add(self, record: Mapping[str, Any]) -> None:
        """Adds a row."""
        # A query may have no negatives; an empty list in any other column says nothing.
        self._columns.update(n for n, value in record.items() if value or (n == "negatives" and value == []))
        self._rows.append(record)
        if len(self._rows) == ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []

    def finish(self) -> IO[bytes]:
        """The file: copied, since only now it is known which columns are needed."""
        self._flush()
        self._writer.close()
        columns = [name for name in COLUMNS if name in self._columns]
        kept = schema(columns)
        with pq.ParquetWriter(self._used, kept, **parquet_options(kept, PICTURES)) as writer:
            source = pq.ParquetFile(self._all)
            for index in range(source.num_row_groups):
                writer.write_table(source.read_row_group(index, columns).cast(kept))
        return self._used

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()
        self._used.close()
