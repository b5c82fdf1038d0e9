"""Mmff: periodic MMFF94s, the default potential. Nothing is downloaded: all parameters come from RDKit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.ops import NonbondedPairs, bonded, nonbonded
from packflow.ops.nonbonded import NEUTRAL
from packflow.potential.interface import Evaluation
from packflow.potential.mmff_fallback import fallback_parameters
from packflow.potential.mmff_pack import MmffBatch, Scales, blank, pack
from packflow.potential.mmff_parameters import MoleculeParameters, UntypedError, mmff_parameters
from packflow.structure.full import FullBatch, n_full_atoms


def parameters_of(smiles: str) -> MoleculeParameters:
    """MMFF94s parameters of a molecule, or those of the fallback.

    Raises:
        UntypedError: neither has any.
    """
    try:
        return mmff_parameters(smiles)
    except UntypedError:
        return fallback_parameters(smiles)


SCALES = Scales(radius=0.95, depth=1.45)
FALLBACK_SCALES = Scales(radius=0.99, depth=0.9)


@dataclass(frozen=True)
class Mmff:
    """Periodic MMFF94s with rescaled van der Waals terms between molecules (docs/energy.md).

    cutoff:          of van der Waals terms in crystals, Å; what it leaves out is added for a uniform density. Coulomb terms converge.
    skin:            Å that neighbour lists reach farther, so that they last.
    scales:          of pairs between molecules, fitted to lattice energies.
    fallback_scales: the same for molecules that MMFF94 has no types for.
    parameters:      where those of a molecule come from: a function of a SMILES that may raise UntypedError.
    """

    cutoff: float = 10.0
    skin: float = 1.0
    scales: Scales = SCALES
    fallback_scales: Scales = FALLBACK_SCALES
    parameters: Callable[[str], MoleculeParameters] = parameters_of
    name: str = "mmff"

    def prepare(self, batch: FullBatch) -> MmffPrepared:
        """Look up the parameters of each molecule, once; a structure of a molecule without any says so in `problems`."""
        row_of: dict[tuple[str, int], int] = {}
        rows, molecules, reasons = [], [], []
        for template in batch.templates:
            key = template.molecule.smiles, template.n_copies
            if key not in row_of:
                row_of[key] = len(row_of)
                molecule, reason = self._look_up(key[0], n_full_atoms(template) // template.n_copies)
                molecules.append(molecule)
                reasons.append(reason)
            rows.append(row_of[key])
        scales = [self.fallback_scales if m.model == "uff" else self.scales for m in molecules]
        library = pack(molecules, [n_copies for _, n_copies in row_of], scales, self.cutoff).to(batch.cell.device)
        parameters = library.select(torch.tensor(rows, dtype=torch.int64, device=batch.cell.device))
        problems = [reasons[row] for row in rows]
        charged = (batch.periodic & (parameters.total_charges().abs() > NEUTRAL)).nonzero()[:, 0].tolist()
        for s in charged:
            problems[s] = problems[s] or f"a crystal must be neutral, but {batch.templates[s].molecule.smiles} carries a charge"
        return MmffPrepared(self, parameters, batch.periodic, problems)

    def _look_up(self, smiles: str, n_atoms: int) -> tuple[MoleculeParameters, str]:
        """Parameters and an empty string, or blank ones and why."""
        try:
            return self.parameters(smiles), ""
        except (UntypedError, InputError) as error:
            return blank(n_atoms), str(error)


class MmffPrepared:
    """Parameters of some structures, and the neighbour list of the last evaluations.

    problems: [n_structures], why a structure cannot be evaluated wherever its atoms are, empty where it can.
    """

    def __init__(self, potential: Mmff, parameters: MmffBatch, periodic: Tensor, problems: list[str]) -> None:
        """Of `Mmff.prepare`."""
        self.problems = problems
        self._potential = potential
        self._parameters = parameters
        self._periodic = periodic
        self._molecule = parameters.molecule
        self._pairs = NonbondedPairs(potential.skin)

    def select(self, structures: Tensor) -> MmffPrepared:
        """The same for some of the structures, in the given order, repeats allowed; the neighbour list starts anew. [n] int64"""
        problems = [self.problems[s] for s in structures.tolist()]
        return MmffPrepared(self._potential, self._parameters.select(structures), self._periodic[structures], problems)

    def evaluate(self, positions: Tensor, cell: Tensor) -> Evaluation:
        """Energy, forces and stress; a structure that cannot be evaluated is marked, and its numbers are NaN.

        Args:
            positions: Å, float64; molecules whole. [n_atoms, 3]
            cell: Rows are the lattice vectors, Å, float64; ignored in vacuum. [n_structures, 3, 3]
        """
        p = self._parameters
        positions, cell = positions.detach(), cell.detach()
        between = nonbonded(positions, cell, **self.nonbonded_arguments(), cutoff=self._potential.cutoff, pairs=self._pairs, tail=p.tail)
        within = bonded(positions, p.terms, p.atom_ptr)
        energy = between.energy + within.energy
        forces = between.forces + within.forces
        volume = torch.linalg.det(cell).abs()
        of_bonds = torch.where(self._periodic[:, None, None], within.virial / volume[:, None, None], 0.0)
        return self._marked(energy, forces, between.stress + of_bonds, between.reasons())

    def nonbonded_arguments(self) -> dict[str, Tensor]:
        """Arguments of `packflow.ops.nonbonded` that do not depend on coordinates."""
        names = ("atom_ptr", "charges", "types", "radius", "epsilon", "special_ptr", "special_index", "special_scale")
        return {name: getattr(self._parameters, name) for name in names} | {"periodic": self._periodic, "molecule": self._molecule}

    def _marked(self, energy: Tensor, forces: Tensor, stress: Tensor, reasons: list[str]) -> Evaluation:
        """The numbers with NaN where there is a problem."""
        owner = torch.repeat_interleave(
            torch.arange(len(energy), device=energy.device), self._parameters.atom_ptr.diff().long(), output_size=len(forces)
        )
        n_bad = energy.new_zeros(len(energy)).index_add_(0, owner, (~forces.isfinite()).any(1).double())
        finite = energy.isfinite() & stress.flatten(1).isfinite().all(1) & (n_bad == 0)
        problems = [
            known or reason or ("" if good else "energy, forces or stress are not finite")
            for known, reason, good in zip(self.problems, reasons, finite.tolist(), strict=True)
        ]
        bad = torch.tensor([bool(problem) for problem in problems], dtype=torch.bool, device=energy.device)
        nan = energy.new_tensor(torch.nan)
        return Evaluation(
            energy=torch.where(bad, nan, energy),
            forces=torch.where(bad[owner, None], nan, forces),
            stress=torch.where(bad[:, None, None], nan, stress),
            problems=problems,
        )
