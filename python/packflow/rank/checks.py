"""What is measured of each relaxed structure, and whether it may be ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import gemmi
import numpy as np
import torch

from packflow.errors import InputError
from packflow.metrics import density
from packflow.metrics.bonds import TOLERANCE as BOND_TOLERANCE
from packflow.rank.connectivity import Connectivity, connectivity
from packflow.rank.stereo import stereo_problem
from packflow.relax.relax import Relaxed
from packflow.structure import AtomsBatch, Template
from packflow.structure.atoms import HYDROGENS
from packflow.structure.full import FullBatch, FullStructure
from packflow.structure.full_frame import full_sites, heavy_atoms, lattice_and_fractional
from packflow.structure.symmetry import TOLERANCE as SYMMETRY_TOLERANCE
from packflow.structure.symmetry import Symmetry, symmetry_of

# atoms whose bonds are looked at together
ATOMS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Candidate:
    """A crystal on its way into a ranking.

    name:     of the proposal, different for each.
    template: molecule and number of copies.
    relaxed:  what became of it; None if it did not get so far.
    before:   as it was before it was relaxed, hydrogens included, where known.
    index:    of the proposal; so the seed.
    seed:     that it was sampled with.
    problem:  why there is no relaxed structure.
    """

    name: str
    template: Template
    relaxed: Relaxed | None
    before: FullStructure | None = None
    index: int | None = None
    seed: int | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        """Refuse structures of another template."""
        for name, structure in (("relaxed", self.relaxed and self.relaxed.structure), ("before", self.before)):
            if structure and _key(structure.template) != _key(self.template):
                raise ValueError(f"{name} of {self.name!r} must have the template {_key(self.template)}, got {_key(structure.template)}")


def _key(template: Template) -> tuple[str, int]:
    return template.molecule.smiles, template.n_copies


@dataclass(frozen=True)
class Checked:
    """What is known of a candidate by itself.

    candidate:           see there.
    reason:              why it is not ranked, the first that applies; empty if it may be.
    energy:              per molecule, eV; NaN where there is none.
    density:             g/cm3, hydrogens included; NaN for what is no crystal, as all that follows.
    lattice:             [6] a, b, c in Å; alpha, beta, gamma in degrees.
    worst_bond_error:    Å, largest deviation of a bond's length from the covalent radii's sum (paper, eq. 40).
    n_invalid_heavy:     bonds between heavy atoms that deviate by more than the tolerance; -1 where unknown, as the next three.
    n_invalid_hydrogen:  bonds to hydrogen that do.
    n_broken:            bonds of the molecule that are broken.
    n_formed:            bonds that the molecule does not have.
    intact_before:       whether all bonds were right before the relaxation; None where that structure is not known.
    """

    candidate: Candidate
    reason: str
    energy: float = np.nan
    density: float = np.nan
    lattice: np.ndarray = field(default_factory=lambda: np.full(6, np.nan))
    worst_bond_error: float = np.nan
    n_invalid_heavy: int = -1
    n_invalid_hydrogen: int = -1
    n_broken: int = -1
    n_formed: int = -1
    intact_before: bool | None = None

    @property
    def structure(self) -> FullStructure:
        """The relaxed structure; only of one that was relaxed."""
        assert self.candidate.relaxed is not None
        return self.candidate.relaxed.structure

    @property
    def volume(self) -> float:
        """Of the cell, Å3; NaN for what is no crystal."""
        relaxed = self.candidate.relaxed
        if relaxed is None or relaxed.structure.cell is None or not np.isfinite(self.lattice).all():
            return np.nan
        return float(abs(np.linalg.det(relaxed.structure.cell)))


def check(candidates: Sequence[Candidate], bond_tolerance: float = BOND_TOLERANCE, require_converged: bool = True) -> list[Checked]:
    """Measure candidates and say which may be ranked.

    One may not that has a problem, no finite energy or coordinates, did not converge, or is no longer made of its molecules: by the lengths
    of bonds (paper, eq. 40), bonds that broke or formed, or the configuration.

    Args:
        candidates: Of any molecules.
        bond_tolerance: Å, delta of eq. 40.
        require_converged: Whether structures that used up their steps may not be ranked.

    Returns:
        One for each candidate, in their order.
    """
    reasons = [no_crystal(candidate) for candidate in candidates]
    good = [k for k, reason in enumerate(reasons) if not reason]
    now = _connectivity_of([_relaxed(candidates[k]).structure for k in good], bond_tolerance)
    known = [k for k in good if (b := candidates[k].before) is not None and np.isfinite(b.positions).all()]
    old = _connectivity_of([b for k in known if (b := candidates[k].before) is not None], bond_tolerance)
    intact_before = {k: not reason for k, (_, _, reason) in zip(known, old, strict=True)}
    densities = density(heavy_batch([_relaxed(candidates[k]).structure for k in good])).tolist()
    checked = [Checked(c, reason, energy_per_molecule(c)) for c, reason in zip(candidates, reasons, strict=True)]
    for k, (found, row, bonds), dense in zip(good, now, densities, strict=True):
        candidate, relaxed = candidates[k], _relaxed(candidates[k])
        before = candidate.before if k in intact_before else None
        if bonds and intact_before.get(k) is False:
            bonds += " (bonds were wrong before the relaxation too)"
        unconverged = "" if relaxed.converged or not require_converged else f"not converged after {relaxed.n_steps} steps"
        checked[k] = Checked(
            candidate=candidate,
            reason=relaxed.problem or unconverged or bonds or stereo_problem(relaxed.structure, before),
            energy=energy_per_molecule(candidate),
            density=dense,
            lattice=lattice_and_fractional(relaxed.structure)[0],
            worst_bond_error=float(found.worst_bond_error[row]),
            n_invalid_heavy=int(found.n_invalid_heavy[row]),
            n_invalid_hydrogen=int(found.n_invalid_hydrogen[row]),
            n_broken=int(found.n_broken[row]),
            n_formed=int(found.n_formed[row]),
            intact_before=intact_before.get(k),
        )
    return checked


def _relaxed(candidate: Candidate) -> Relaxed:
    assert candidate.relaxed is not None, "no_crystal says so of all others"
    return candidate.relaxed


def energy_per_molecule(candidate: Candidate) -> float:
    """eV; NaN where there is none."""
    return candidate.relaxed.energy / candidate.template.n_copies if candidate.relaxed else np.nan


def no_crystal(candidate: Candidate) -> str:
    """Why nothing can be measured of a candidate; empty if it is a crystal with an energy."""
    relaxed = candidate.relaxed
    if candidate.problem or relaxed is None:
        return candidate.problem or "it was not relaxed"
    if relaxed.structure.cell is None:
        return relaxed.problem or "it has no cell"
    if not (np.isfinite(relaxed.structure.positions).all() and np.isfinite(relaxed.structure.cell).all()):
        return relaxed.problem or "its coordinates are not finite"
    if not np.isfinite(relaxed.energy):
        return relaxed.problem or "its energy is not finite"
    try:
        full_sites(relaxed.structure, candidate.name)
    except InputError as error:
        return relaxed.problem or str(error)
    return ""


def _connectivity_of(structures: Sequence[FullStructure], tolerance: float) -> list[tuple[Connectivity, int, str]]:
    """Of each structure: where its bonds are described, its row there, and what is wrong with them."""
    rows: list[tuple[Connectivity, int, str]] = []
    for part in _parts(structures):
        found = connectivity(FullBatch.pack(part), tolerance)
        rows += [(found, row, reason) for row, reason in enumerate(found.reasons)]
    return rows


def _parts(structures: Sequence[FullStructure]) -> Iterator[list[FullStructure]]:
    part: list[FullStructure] = []
    n_atoms = 0
    for structure in structures:
        if part and n_atoms + len(structure.positions) > ATOMS_AT_ONCE:
            yield part
            part, n_atoms = [], 0
        part.append(structure)
        n_atoms += len(structure.positions)
    if part:
        yield part


def heavy_batch(structures: Sequence[FullStructure]) -> AtomsBatch:
    """Heavy atoms of crystals, in their own frames, with the number of hydrogens that each has."""
    rows = []
    for s in structures:
        assert s.cell is not None, "crystals have cells"
        rows.append(
            AtomsBatch(
                atomic_numbers=torch.from_numpy(s.template.atomic_numbers),
                positions=torch.from_numpy(s.positions[heavy_atoms(s)]),
                cell=torch.from_numpy(s.cell)[None],
                atom_ptr=torch.tensor([0, s.template.n_atoms], dtype=torch.int32),
                bond_index=torch.from_numpy(s.template.bond_index),
                has_bonds=torch.ones(1, dtype=torch.bool),
                n_hydrogens=torch.from_numpy(s.template.atom_features[:, HYDROGENS].astype(np.int64)),
            )
        )
    return AtomsBatch.join(rows)


@dataclass(frozen=True)
class SpaceGroup:
    """Symmetry of a crystal, hydrogens included.

    symmetry: see there.
    z:        molecules in the conventional cell.
    z_prime:  molecules per asymmetric unit.
    """

    symmetry: Symmetry
    z: int
    z_prime: Fraction


def space_group_of(structure: FullStructure, tolerance: float = SYMMETRY_TOLERANCE) -> SpaceGroup | None:
    """Space group by spglib, None where it finds none.

    Args:
        structure: A crystal.
        tolerance: How far an operation may miss an atom, Å.
    """
    symmetry = symmetry_of(full_sites(structure, "structure"), tolerance)
    if symmetry is None:
        return None
    z_prime = symmetry.z_prime(structure.template.n_copies)
    group = gemmi.find_spacegroup_by_number(symmetry.number)
    assert group is not None, "gemmi knows all 230"
    return SpaceGroup(symmetry, round(z_prime * len(list(group.operations()))), z_prime)
