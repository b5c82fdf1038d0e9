"""Files that are complete or not there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from packflow.disk import flush_to_disk
from packflow.errors import InputError

PARTIAL = ".partial"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, wait until it is on the disk, and rename it; its folder is made where it is not there.

    Raises:
        InputError: the disk is full or not writable; the file is then as it was before.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
        flush_to_disk(partial)
        partial.replace(path)
        flush_to_disk(path.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror}): mend that and give the same command again") from error
