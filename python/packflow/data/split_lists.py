"""Splits that others chose: files with one name a line, such as the refcode lists of the released code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from packflow.data.candidates import Candidate
from packflow.data.source import read_names
from packflow.data.split import SPLITS
from packflow.errors import InputError


def read_split_lists(paths: Mapping[str, str | Path]) -> dict[str, str]:
    """Split of every listed name.

    Args:
        paths: File for "train", "validation" and "test", or some of them. Empty lines and those that begin with # do not count.

    Raises:
        InputError: another split, a file that cannot be read or lists nothing, or a name in two lists.
    """
    split_of: dict[str, str] = {}
    for split, path in paths.items():
        if split not in SPLITS:
            raise InputError(f"split_lists must be for {', '.join(SPLITS)}, got {split!r}")
        for name in read_names(Path(path), "split list"):
            other = split_of.setdefault(name, split)
            if other != split:
                raise InputError(f"{name} must be in one split list, got {other} ({paths[other]}) and {split} ({path})")
    return split_of


def listed_split(candidate: Candidate, split_of: Mapping[str, str]) -> str:
    """Split of a structure whose title (a refcode, a COD number) or whole name is listed; "" if it is in no list."""
    return split_of.get(candidate.title) or split_of.get(candidate.name) or ""


def only_listed(candidates: Sequence[Candidate], split_of: Mapping[str, str]) -> list[Candidate]:
    """The same candidates, but crystals that are in no list are rejected; all stay if there are no lists."""
    if not split_of:
        return list(candidates)
    return [c.rejected("in no split list") if c.crystal is not None and not listed_split(c, split_of) else c for c in candidates]


def missing(split_of: Mapping[str, str], candidates: Sequence[Candidate]) -> Counter[str]:
    """Number of listed names, per split, that none of the candidates has."""
    found = {name for c in candidates for name in (c.title, c.name)}
    return Counter(split for name, split in split_of.items() if name not in found)
