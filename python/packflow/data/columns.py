"""Columns of a Parquet file, each read when it is first asked for: a table of a million rows costs what is used of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from packflow.errors import InputError


class Texts(Sequence[str]):
    """A column of texts of which each is decoded when it is asked for: no Python object waits in memory."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        """column: of type string. [n_rows]"""
        self._column = column

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """One text, or some of them."""
        if isinstance(index, slice):
            return self._column[index].to_pylist()
        return self._column[int(index)].as_py()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._column)


class Columns(Mapping[str, np.ndarray]):
    """Arrays by name of column: numbers as they are, texts as fixed-width strings. Each [n_rows].

    A number takes 8 bytes a row, a text four bytes for each character of the longest one; a column that is never asked for
    takes nothing.
    """

    def __init__(self, path: Path, names: tuple[str, ...] | None = None, without: tuple[str, ...] = ()) -> None:
        """Look at the columns' names and types.

        Args:
            path: A Parquet file.
            names: The columns that there must be; None for all that there are.
            without: Columns that are not shown.

        Raises:
            InputError: the file cannot be read, or a column is missing.
        """
        self.path = path
        with opened(path) as file:
            found = file.schema_arrow.names
        self._names = [name for name in names or found if name not in without]
        missing = [name for name in self._names if name not in found]
        if missing:
            raise InputError(f"{path} has no column {missing[0]}; run packflow prepare again")
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """One column, read once. [n_rows]"""
        if name not in self._names:
            raise KeyError(f"name must be one of {', '.join(self._names)}, got {name!r}")
        if name not in self._read:
            self._read[name] = as_array(self._column(name))
        return self._read[name]

    def texts(self, name: str) -> Texts:
        """A column of texts that stay encoded. [n_rows]"""
        return Texts(self._column(name))

    def _column(self, name: str) -> pa.ChunkedArray:
        with opened(self.path) as file:
            return file.read(columns=[name])[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is such a column; reads none."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Names of the columns, in the order of the file."""
        return iter(self._names)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self._names)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file; what is wrong with it is said in one line."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read; run packflow prepare again") from error


def as_array(column: pa.ChunkedArray) -> np.ndarray:
    """An Arrow column as an array; of texts, each different one is decoded once. [n_rows]"""
    if not pa.types.is_string(column.type):
        return column.to_numpy()
    encoded = column.dictionary_encode(null_encoding="encode").unify_dictionaries()
    if encoded.num_chunks == 0:
        return np.array([], dtype=str)
    different = np.asarray(encoded.chunk(0).dictionary.to_pylist())
    return different[np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])]
