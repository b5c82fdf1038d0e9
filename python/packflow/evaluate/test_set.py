"""Test sets: crystals that generated ones are compared with, from a prepared dataset or from files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from packflow.campaign import Job
from packflow.data.candidates import read_candidates
from packflow.data.dataset import MANIFEST, CrystalDataset
from packflow.data.filters import PrepareConfig
from packflow.data.source import STRUCTURE_FILES, list_files, read_table
from packflow.errors import InputError
from packflow.structure import Crystal, Template

Kind = Literal["experimental", "any"]
# of a list in an error message
SHOWN = 5


@dataclass(frozen=True)
class Case:
    """A template, and the crystals of it that are known.

    name:       "molecule_3#4", the third molecule of the set with four copies; what the store of an engine calls its proposals.
    molecule:   canonical SMILES.
    references: names of the crystals.
    crystals:   as many.
    """

    name: str
    molecule: str
    references: tuple[str, ...]
    crystals: tuple[Crystal, ...]

    @property
    def template(self) -> Template:
        """What is sampled."""
        return self.crystals[0].template

    def job(self, n_samples: int, first: int = 0) -> Job:
        """Proposals first to first + n_samples - 1 of this template."""
        return Job.of(self.name.partition("#")[0], self.molecule, self.template.n_copies, n_samples, first)

    def digest(self) -> str:
        """Of the crystals, to know scores that were made with others."""
        digest = hashlib.sha256(repr((self.molecule, self.references)).encode())
        for crystal in self.crystals:
            digest.update(crystal.positions.tobytes() + crystal.lattice.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class TestSet:
    """What engines are evaluated on.

    cases:    templates, those of a molecule one after the other.
    left_out: of each structure that cannot be a reference, its name and why.
    """

    __test__ = False  # the name is not one of a test

    cases: tuple[Case, ...]
    left_out: tuple[str, ...] = ()

    @property
    def molecules(self) -> list[str]:
        """Canonical SMILES, each once."""
        return list(dict.fromkeys(case.molecule for case in self.cases))

    @property
    def n_references(self) -> int:
        """Number of crystals."""
        return sum(len(case.references) for case in self.cases)

    @classmethod
    def of(cls, crystals: Iterable[tuple[str, Crystal]], left_out: Iterable[str] = ()) -> TestSet:
        """Group named crystals by their molecule, in the order of their first ones, then by their number of copies."""
        groups: dict[str, dict[int, list[tuple[str, Crystal]]]] = {}
        for name, crystal in crystals:
            template = crystal.template
            groups.setdefault(template.molecule.smiles, {}).setdefault(template.n_copies, []).append((name, crystal))
        cases = [
            Case(f"molecule_{number}#{n_copies}", smiles, tuple(name for name, _ in group), tuple(crystal for _, crystal in group))
            for number, (smiles, of_molecule) in enumerate(groups.items(), 1)
            for n_copies, group in sorted(of_molecule.items())
        ]
        return cls(tuple(cases), tuple(left_out))


def read_test_set(
    path: str | Path,
    split: str = "test",
    kind: Kind = "experimental",
    table: str | Path | None = None,
    max_molecules: int | None = None,
    n_jobs: int = 1,
) -> TestSet:
    """Crystals to compare with.

    Args:
        path: Folder of `packflow prepare`; or a folder or zip archive of structure files as that command reads, or one such file.
        split: Of a dataset.
        kind: Of a dataset: "experimental" takes all measured crystals of the split, "any" for a molecule without one its first crystal
            too. A dataset that does not say what kind its crystals are has measured ones.
        table: CSV with columns file and smiles, for files whose molecules cannot be told from their hydrogens.
        max_molecules: The first so many; None for all.
        n_jobs: Processes that read files.

    Returns:
        The set; files that hold no crystal of one known molecule are left out and named.

    Raises:
        InputError: there is no such folder, or nothing in it can be a reference.
    """
    path = Path(path)
    if kind not in get_args(Kind):
        raise InputError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    if max_molecules is not None and max_molecules < 1:
        raise InputError(f"max_molecules must be at least 1, got {max_molecules}")
    found = of_dataset(path, split, kind) if (path / MANIFEST).is_file() else of_files(path, table, n_jobs)
    if not found.cases:
        why = f": {'; '.join(found.left_out[:SHOWN])}" if found.left_out else ""
        raise InputError(f"test set {path} holds no crystal that can be a reference{why}")
    wanted = set(found.molecules[:max_molecules])
    return TestSet(tuple(case for case in found.cases if case.molecule in wanted), found.left_out)


def of_dataset(path: Path, split: str, kind: Kind) -> TestSet:
    """Crystals of a split of a prepared dataset; raises InputError if there are none."""
    dataset = CrystalDataset.open(path)
    rows = dataset.indices(split).tolist()
    if not rows:
        raise InputError(f"split must be one with crystals, such as {', '.join(sorted(set(dataset.split.tolist())))}, got {split!r}")
    kinds = dataset.notes["kind"] if "kind" in dataset.notes else ["experimental"] * len(dataset)
    measured = [row for row in rows if kinds[row] == "experimental"]
    if kind == "any":
        have = {int(dataset.molecule_index[row]) for row in measured}
        for row in rows:
            if int(dataset.molecule_index[row]) not in have:
                have.add(int(dataset.molecule_index[row]))
                measured.append(row)
    elif not measured:
        raise InputError(f"split {split!r} of {path} holds no experimental crystal: give --kind any for computed ones")
    return TestSet.of((str(dataset.name[row]), dataset[row]) for row in sorted(measured))


def of_files(path: Path, table: str | Path | None, n_jobs: int) -> TestSet:
    """Crystals of structure files, Niggli-reduced as those of a dataset."""
    rows = read_table(Path(table) if table else None)
    config = PrepareConfig(max_atoms=0, duplicate_tolerance=0.0)
    names = [name for name in list_files(path) if PurePosixPath(name).suffix.lower() in STRUCTURE_FILES]
    candidates = list(read_candidates(path, names, rows, config, n_jobs, progress=False))
    left_out = [f"{c.name} ({c.reason}{': ' if c.detail else ''}{c.detail})" for c in candidates if c.crystal is None]
    return TestSet.of(((c.name, c.crystal) for c in candidates if c.crystal is not None), left_out)
