"""What is on the disk, and not only on its way there."""

import os
from pathlib import Path


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk, so that a rename cannot overtake them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
