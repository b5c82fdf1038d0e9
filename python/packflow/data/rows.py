"""Rows of an array on disk, read and not mapped: what was seen of a map counts as memory of the process."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import numpy as np

from packflow.errors import InputError


class Rows:
    """Rows of a .npy file: what is read is an array of its own, and nothing is kept."""

    def __init__(self, path: Path) -> None:
        """Look at the file's header.

        Args:
            path: A .npy file of a plain array whose last axis varies fastest. [n_rows, ...]

        Raises:
            InputError: it is none, or cannot be read.
        """
        self.path = path
        self.array = read_array(path)
        self._row_bytes = self.array.dtype.itemsize * int(np.prod(self.array.shape[1:]))
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.array)

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows first to last - 1. [last - first, ...]

        Raises:
            InputError: the file became shorter since it was opened.
        """
        size = (last - first) * self._row_bytes
        content = os.pread(self._file, size, self.array.offset + first * self._row_bytes)
        if len(content) != size:
            raise InputError(f"{self.path} was changed while it was open; run packflow prepare again")
        return np.frombuffer(content, self.array.dtype).reshape(-1, *self.array.shape[1:])


def read_array(path: Path) -> np.memmap:
    """A memory-mapped array."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read; run packflow prepare again") from error
