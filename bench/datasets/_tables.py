"""One shard of a Hugging Face data set: its columns, its labels, and the bytes of its pictures; a .parquet or .arrow file."""

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import bounded
from bench.datasets import _labelled
from bench.errors import RequestError

_ROWS = 64  # that are decoded at once


class Table:
    """The shard at `path`.

    Raises:
        RequestError: it is no parquet or arrow file, or a damaged one.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: Any = _careful(path, lambda: _open(path))
        self.schema: Any = self._file.schema_arrow if self.is_parquet else self._file[0]

    @property
    def is_parquet(self) -> bool:
        return not isinstance(self._file, tuple)

    def columns(self, image: str | None, label: str | None) -> tuple[str, str]:
        """The columns of the pictures and of the identities, those asked for or found.

        Raises:
            RequestError: there is no such column, or it cannot be told which.
        """
        return _careful(self.path, lambda: self._columns(image, label))

    def _columns(self, image: str | None, label: str | None) -> tuple[str, str]:
        import pyarrow.types as kinds

        pictures = [field.name for field in self.schema if _shows(field.type)]
        words = [f.name for f in self.schema if kinds.is_integer(f.type) or _is_word(f.type)]
        classes = [name for name in words if self._feature(name).get("names")]
        preferred = ["label"] if "label" in words else classes if len(classes) == 1 else words
        return self._one("image", image, pictures), self._one("label", label, words if label else preferred)

    def _one(self, what: str, wanted: str | None, found: list[str]) -> str:
        if wanted is not None and wanted in found:
            return wanted
        if wanted is None and len(found) == 1:
            return found[0]
        came = f"no column {wanted!r} of that kind" if wanted else f"{len(found)} columns that could be it"
        listed = ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in self.schema)
        raise RequestError(f"{self.path} has {came}: give {what}=COLUMN; its columns are: {listed}")

    def _feature(self, column: str) -> dict:
        """What the library noted about a column."""
        try:
            noted = json.loads((self.schema.metadata or {}).get(b"huggingface", b"{}"))
            feature = noted["info"]["features"][column]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {}
        return feature if isinstance(feature, dict) else {}

    def identities(self, image: str, label: str) -> list[str]:
        """The identity of each row.

        Raises:
            RequestError: the columns are not there, or a row has no label.
        """
        self.columns(image, label)
        names = self._feature(label).get("names")
        found: list[str] = []
        for values in _careful(self.path, lambda: list(self._labels(label))):
            for value in values:
                where = f"row {len(found):,} of {self.path}"
                if value is None or (isinstance(value, int) and value < 0):
                    raise RequestError(f"{where} has no label ({value}): choose the split that has")
                if isinstance(names, list) and isinstance(value, int):
                    if value >= len(names):
                        raise RequestError(
                            f"{where} has the label {value}, and the data set names {len(names)} classes"
                        )
                    value = names[value]
                found.append(_labelled.check_identity(str(value), where))
        if not found:
            raise RequestError(f"{self.path} has no rows")
        return found

    def _labels(self, column: str) -> Iterator[list]:
        if not self.is_parquet:
            for batch in self._file[1]:
                yield batch.column(batch.schema.get_field_index(column)).to_pylist()
            return
        rows, size = self._file.metadata.num_rows, self.path.stat().st_size
        if rows > size:  # a row has a picture, and so more than a byte
            raise RequestError(f"{self.path} claims {rows:,} rows in {size:,} bytes: it is no honest parquet file")
        for batch in self._file.iter_batches(batch_size=1 << 16, columns=[column], use_threads=False):
            yield batch.column(0).to_pylist()

    def array(self, column: str, group: int) -> Any:
        """The bytes in the image column of a record batch (of an arrow file)."""
        batch = self._file[1][group]
        return _bytes(batch.column(batch.schema.get_field_index(column)))

    def pictures(self, column: str, group: int) -> Iterator[Any]:
        """The bytes in the image column of a row group (of a parquet file), one by one."""
        leaf = [f"{column}.bytes"] if _is_struct(self.schema.field(column).type) else [column]
        for batch in self._file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=leaf, use_threads=False):
            yield from _bytes(batch.column(0))

    @cached_property
    def groups(self) -> list[int]:
        """The rows of each row group or record batch."""
        if self.is_parquet:
            return [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
        return [batch.num_rows for batch in self._file[1]]


class Pictures:
    """The pictures of a shard, best asked for in the order of its rows."""

    def __init__(self, path: Path, column: str):
        self._table, self._column = Table(path), column
        self._group, self._next = -1, 0
        self._values: Iterator[Any] = iter(())

    def at(self, row: int) -> bytes | str:
        """The bytes of a row's picture, or why there are none."""
        group = 0
        while group < len(self._table.groups) and row >= self._table.groups[group]:
            row -= self._table.groups[group]
            group += 1
        try:
            value = _careful(self._table.path, lambda: self._read(group, row))
        except RequestError as error:
            self._group = -1
            return str(error)
        if value is None or not value.size:
            return "the row holds no bytes of a picture (a path alone is not followed)"
        if value.size > bounded.PICTURE:
            return f"{value.size:,} bytes, and at most {bounded.PICTURE:,} are read of a picture"
        return value.to_pybytes()

    def _read(self, group: int, row: int) -> Any:
        """The row's buffer; None: it has none."""
        if not self._table.is_parquet:
            return self._table.array(self._column, group)[row].as_buffer()
        if group != self._group or row < self._next:
            self._group, self._next = group, 0
            self._values = self._table.pictures(self._column, group)
        for value in self._values:
            self._next += 1
            if self._next > row:
                return value.as_buffer()
        raise ValueError(f"row group {group} ends before row {row}")


def _open(path: Path) -> Any:
    """A ParquetFile, or the schema and the record batches of an arrow file."""
    import pyarrow as pa
    from pyarrow import parquet

    with path.open("rb") as file:
        magic = file.read(6)
    if magic[:4] == b"PAR1":
        return parquet.ParquetFile(path)
    mapped = pa.memory_map(str(path))
    if magic == b"ARROW1":
        reader = pa.ipc.open_file(mapped)
        batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
    else:
        reader = pa.ipc.open_stream(mapped)
        batches = list(reader)
    for batch in batches:
        batch.validate(full=True)  # or offsets in a damaged file lead anywhere in the memory
    return reader.schema, batches


def _careful(path: Path, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except RequestError:
        raise
    except Exception as error:  # pyarrow raises nearly anything on garbage
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise RequestError(f"{path} is no parquet or arrow file, or a damaged one ({reason}): get it again") from error


def _shows(kind: Any) -> bool:
    """Whether a column of this type can hold pictures."""
    return _is_struct(kind) or _is_binary(kind)


def _is_struct(kind: Any) -> bool:
    import pyarrow.types as kinds

    return kinds.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as kinds

    return kinds.is_binary(kind) or kinds.is_large_binary(kind)


def _is_word(kind: Any) -> bool:
    import pyarrow.types as kinds

    kind = kind.value_type if kinds.is_dictionary(kind) else kind
    return kinds.is_string(kind) or kinds.is_large_string(kind)


def _bytes(array: Any) -> Any:
    return array.field("bytes") if _is_struct(array.type) else array
