"""From relaxed structures to a ranking by energy: what is broken is left out, what is the same is merged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from packflow.metrics.bonds import TOLERANCE as BOND_TOLERANCE
from packflow.rank.checks import Candidate, Checked, SpaceGroup, check, heavy_batch, space_group_of
from packflow.rank.conformers import canonical_smiles
from packflow.rank.duplicates import duplicates
from packflow.rank.lattice_energy import KJ_MOL_PER_EV, GasPhase, GasReference, lattice_energy_kj_mol, relative_energy_kj_mol
from packflow.structure.symmetry import TOLERANCE as SYMMETRY_TOLERANCE

NO_GAS = "no gas phase was asked for"


@dataclass(frozen=True)
class RankConfig:
    """What may be ranked, and what is the same.

    bond_tolerance:     Å, delta of the paper's eq. 40.
    require_converged:  leave out structures that used up their steps.
    amd_tolerance:      Å, of `packflow.rank.duplicates`; so the next three. They are wide, since soft strains cost next to nothing:
                        copies of urea's packing within 0.02 kJ/mol had AMDs up to 0.08 and PDDs up to 0.11 Å apart, others 0.13 and 0.22.
    pdd_tolerance:      Å, None for AMD alone.
    energy_tolerance:   kJ/mol, per molecule; what is further apart is never the same.
    n_neighbors:        of each atom.
    symmetry_tolerance: Å, of spglib.
    """

    bond_tolerance: float = BOND_TOLERANCE
    require_converged: bool = True
    amd_tolerance: float = 0.1
    pdd_tolerance: float | None = 0.15
    energy_tolerance: float = 0.1
    n_neighbors: int = 100
    symmetry_tolerance: float = SYMMETRY_TOLERANCE

    def __post_init__(self) -> None:
        """Refuse tolerances that are not positive."""
        for name in ("bond_tolerance", "symmetry_tolerance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class Match:
    """How a ranked structure compares with the known crystal that is most like it.

    known:        name of that crystal.
    n_matched:    molecules of its cluster that overlay; -1 where they cannot be compared.
    n_molecules:  molecules of the cluster.
    rmsd:         Å, of those that do.
    energy_above: kJ/mol, per molecule, above the most stable of the relaxed known crystals of the molecule; NaN where none is.
    problem:      why they cannot be compared, else empty.
    """

    known: str
    n_matched: int
    n_molecules: int
    rmsd: float
    energy_above: float
    problem: str = ""


@dataclass(frozen=True)
class Ranked:
    """A line of the ranking.

    checked:         the structure and what is known of it by itself.
    smiles:          canonical, of the molecule; each molecule has its own ranks.
    rank:            from 1; None where `reason` says why there is none.
    reason:          "" if it has a rank, else why not: what is wrong, or whose duplicate it is.
    lattice_energy:  kJ/mol, against the gas phase; NaN where there is no energy or no gas phase.
    relative_energy: kJ/mol, above the best of the molecule; NaN where there is none.
    duplicate_of:    name of the structure that stands for this one.
    members:         names of all structures that this one stands for, itself first; empty without rank.
    space_group:     of one with a rank; None where spglib finds none.
    match:           see `packflow.rank.known_crystals`.
    """

    checked: Checked
    smiles: str
    rank: int | None
    reason: str
    lattice_energy: float = np.nan
    relative_energy: float = np.nan
    duplicate_of: str = ""
    members: tuple[str, ...] = ()
    space_group: SpaceGroup | None = None
    match: Match | None = None

    @property
    def name(self) -> str:
        """Of the candidate."""
        return self.checked.candidate.name


@dataclass(frozen=True)
class Ranking:
    """Relaxed structures by energy.

    rows:   molecule by molecule, those with a rank first, best first, the others by name.
    gas:    gas-phase reference of each molecule, by canonical SMILES; one with a problem gives no lattice energies.
    config: how it was made.
    """

    rows: tuple[Ranked, ...]
    gas: dict[str, GasReference]
    config: RankConfig

    @property
    def ranked(self) -> tuple[Ranked, ...]:
        """The rows with a rank."""
        return tuple(row for row in self.rows if row.rank is not None)


def rank_crystals(candidates: Sequence[Candidate], gas: GasPhase | None = None, config: RankConfig | None = None) -> Ranking:
    """Rank relaxed structures by their energy per molecule, each molecule by itself, whatever the numbers of copies.

    A structure has a rank if it is in order (`packflow.rank.checks.check`) and the best of its duplicates. The result does not depend on
    the order of the candidates.

    Args:
        candidates: Different names; energies by one potential.
        gas: References by the same potential, computed where needed; without it there are no lattice energies, only relative ones.
        config: What may be ranked, and what is the same.

    Raises:
        ValueError: two candidates with one name.
    """
    config = config or RankConfig()
    counts = Counter(candidate.name for candidate in candidates)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"candidates must have different names, got {repeated[0]!r} {counts[repeated[0]]} times")
    molecules: dict[str, list[Checked]] = defaultdict(list)
    ordered = sorted(candidates, key=lambda candidate: candidate.name)
    for row in check(ordered, config.bond_tolerance, config.require_converged):
        molecules[canonical_smiles(row.candidate.template.molecule.smiles)].append(row)
    references = gas.references(sorted(molecules)) if gas else {s: GasReference(s, np.nan, None, 0, 0, NO_GAS) for s in molecules}
    rows = [row for smiles in sorted(molecules) for row in _rank_one(smiles, molecules[smiles], references[smiles].energy, config)]
    return Ranking(tuple(rows), references, config)


def _rank_one(smiles: str, checked: list[Checked], gas_energy: float, config: RankConfig) -> list[Ranked]:
    """Rows of one molecule; `checked` is ordered by name."""
    rows = {row.candidate.name: Ranked(row, smiles, None, row.reason) for row in checked}
    good = [row for row in checked if not row.reason]
    for rank, (leader, group) in enumerate(_groups(good, rows, config), 1):
        name = leader.candidate.name
        members = sorted(group, key=lambda row: (row is not leader, row.energy, row.candidate.name))
        for row in members:
            rows[row.candidate.name] = replace(rows[row.candidate.name], duplicate_of=name, reason=f"duplicate of {name}")
        rows[name] = replace(
            rows[name],
            rank=rank,
            reason="",
            duplicate_of="",
            members=tuple(row.candidate.name for row in members),
            space_group=space_group_of(leader.structure, config.symmetry_tolerance),
        )
    best = min((row.checked.energy for row in rows.values() if row.rank == 1), default=np.nan)
    rows = {name: _with_energies(row, gas_energy, best) for name, row in rows.items()}
    return sorted(rows.values(), key=lambda row: (row.rank is None, row.rank or 0, row.name))


def _groups(good: list[Checked], rows: dict[str, Ranked], config: RankConfig) -> list[tuple[Checked, list[Checked]]]:
    """The best of each group and its members, best first; what cannot be compared is marked in `rows`."""
    if not good:
        return []
    energies = torch.tensor([row.energy for row in good], dtype=torch.float64)
    atoms = heavy_batch([row.structure for row in good])
    found = duplicates(
        atoms,
        config.amd_tolerance,
        config.n_neighbors,
        config.pdd_tolerance,
        priority=energies,
        energies=KJ_MOL_PER_EV * energies,
        energy_tolerance=config.energy_tolerance,
    )
    members: dict[int, list[Checked]] = defaultdict(list)
    for row, group, problem in zip(good, found.group.tolist(), found.problems, strict=True):
        if problem:
            rows[row.candidate.name] = replace(rows[row.candidate.name], reason=f"it cannot be compared with others: {problem}")
        else:
            members[group].append(row)
    groups = [(good[leader], members[group]) for group, leader in enumerate(found.representative.tolist())]
    return sorted(groups, key=lambda group: (group[0].energy, group[0].candidate.name))


def _with_energies(row: Ranked, gas_energy: float, best: float) -> Ranked:
    """The row with lattice and relative energy. gas_energy, best: eV per molecule"""
    energy = row.checked.energy
    lattice, relative = lattice_energy_kj_mol(energy, 1, gas_energy), relative_energy_kj_mol(energy, 1, best)
    return replace(row, lattice_energy=lattice, relative_energy=relative)
