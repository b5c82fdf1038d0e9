"""Which molecules a network was trained on: hashes in the header of its weights, so that tests on the same molecules are noticed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from packflow.errors import InputError

# bytes of a hash: among 100,000 molecules and 1,000 tested ones, one in 200 billion records tells a wrong one
WIDTH = 8
MOLECULES, FAMILIES, COMPLETE = "training_molecules", "training_families", "training_complete"


@dataclass(frozen=True)
class TrainingRecord:
    """Hashes of what a network has seen in training.

    molecules: of canonical SMILES.
    families:  of what molecules share with their stereoisomers, tautomers and charge states, see `packflow.data.split.family`.
    complete:  whether that is all it was trained on; not so if training began from weights that have no record.
    """

    molecules: frozenset[bytes]
    families: frozenset[bytes]
    complete: bool = True

    @classmethod
    def of(cls, molecules: Iterable[str], families: Iterable[str], complete: bool = True) -> TrainingRecord:
        """The record of texts."""
        return cls(frozenset(map(hash_of, molecules)), frozenset(map(hash_of, families)), complete)

    def __or__(self, other: TrainingRecord) -> TrainingRecord:
        """Of a network that was trained on both."""
        return TrainingRecord(self.molecules | other.molecules, self.families | other.families, self.complete and other.complete)

    def metadata(self) -> dict[str, str]:
        """Entries of a safetensors header, 11 bytes a molecule and as many a family."""
        return {MOLECULES: text_of(self.molecules), FAMILIES: text_of(self.families), COMPLETE: str(self.complete).lower()}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], file: Path) -> TrainingRecord | None:
        """The record in a header; None if it has none.

        Raises:
            InputError: it is damaged.
        """
        if MOLECULES not in metadata:
            return None
        try:
            return cls(hashes_of(metadata[MOLECULES]), hashes_of(metadata[FAMILIES]), metadata[COMPLETE] == "true")
        except (KeyError, ValueError) as error:
            raise InputError(f"{file} has a damaged record of its training molecules: copy it again or take an earlier one") from error


def hash_of(text: str) -> bytes:
    """Of a SMILES or a family's name. [WIDTH]"""
    return hashlib.blake2b(text.encode(), digest_size=WIDTH).digest()


def text_of(hashes: frozenset[bytes]) -> str:
    """In base64, ascending, so that equal records are equal texts."""
    return base64.b64encode(b"".join(sorted(hashes))).decode()


def hashes_of(text: str) -> frozenset[bytes]:
    """From base64; raises ValueError if it is none."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"hashes must be base64, got {text[:20]!r}") from error
    if len(data) % WIDTH:
        raise ValueError(f"hashes must have {WIDTH} bytes each, got {len(data)} bytes")
    return frozenset(data[k : k + WIDTH] for k in range(0, len(data), WIDTH))


def read_record(file: Path) -> TrainingRecord | None:
    """The record in a safetensors file, whose tensors are not read; None if it has none.

    Raises:
        InputError: the file or its record is damaged.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            return TrainingRecord.from_metadata(dict(opened.metadata() or {}), file)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is damaged or no safetensors file ({error}): copy it again or take an earlier one") from error
