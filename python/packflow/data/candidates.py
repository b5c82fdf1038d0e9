"""From a file to candidates for a dataset: each structure becomes a crystal, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

from rdkit import Chem

from packflow.data.filters import PrepareConfig, check_sites, check_symmetry
from packflow.data.site_files import structures_in
from packflow.data.source import row_of
from packflow.data.workers import map_files
from packflow.errors import InputError, StructureError
from packflow.structure import Crystal
from packflow.structure.molecule import heavy_atom_mol
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites
from packflow.structure.symmetry import symmetry_of


@dataclass(frozen=True)
class Candidate:
    """What came of one structure.

    name:        file, and "#" with the block, frame or row where it has several.
    crystal:     None where there is a reason why not.
    space_group: number that spglib finds; 0 where it finds none.
    z_prime:     molecules per asymmetric unit; NaN without a space group.
    reason:      short class under which it is counted, with a detail.
    """

    name: str
    crystal: Crystal | None = None
    space_group: int = 0
    z_prime: float = math.nan
    reason: str = ""
    detail: str = ""

    @property
    def title(self) -> str:
        """What the structure itself is called: what follows "#", else the stem of the file."""
        file, _, part = self.name.partition("#")
        return part or PurePosixPath(file).stem

    def rejected(self, reason: str, detail: str = "") -> Candidate:
        """The same structure without its crystal, and why."""
        return replace(self, crystal=None, reason=reason, detail=detail)


def read_candidates(
    source: Path, names: list[str], table: dict[str, dict[str, str]], config: PrepareConfig, n_jobs: int, progress: bool
) -> Iterator[Candidate]:
    """Results of all files, in the order of the names."""
    smiles = [row_of(table, name).get("smiles") or None for name in names]
    work = partial(read_file, source, config)
    for found in map_files(work, list(zip(names, smiles, strict=True)), n_jobs, progress):
        yield from found


def read_file(source: Path, config: PrepareConfig, job: tuple[str, str | None]) -> list[Candidate]:
    """All structures of one file, `job` = (name, SMILES if known)."""
    name, smiles = job
    try:
        structures = structures_in(source, name)
    except StructureError as error:
        return [Candidate(name, reason=error.reason, detail=error.detail)]
    found = []
    for title, make_sites in structures:
        try:
            found.append(candidate_of(make_sites(), smiles, config))
        except StructureError as error:
            found.append(Candidate(title, reason=error.reason, detail=error.detail))
    return found


def candidate_of(sites: Sites, smiles: str | None, config: PrepareConfig) -> Candidate:
    """The crystal of a unit cell, if the filters let it pass; raises StructureError otherwise."""
    check_sites(sites, config)
    sites = sites.niggli() if config.niggli else sites
    crystal = recognize(sites, canonical(smiles or sites.smiles))
    symmetry, n_copies = symmetry_of(sites), crystal.template.n_copies
    check_symmetry(symmetry, n_copies, config)
    if symmetry is None:
        return Candidate(sites.name, crystal)
    return Candidate(sites.name, crystal, symmetry.number, float(symmetry.z_prime(n_copies)))


@lru_cache(maxsize=4096)
def canonical(smiles: str | None) -> str | None:
    """RDKit's canonical SMILES of the heavy-atom graph, so that one molecule has one atom order in the whole dataset."""
    if smiles is None:
        return None
    try:
        return str(Chem.MolToSmiles(heavy_atom_mol(smiles)))
    except InputError as error:
        raise StructureError("unusable SMILES", str(error)) from error
