"""MMFF94s of heavy atoms that carry their hydrogens, for scoring many crystals: no hydrogen is placed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch

from packflow.errors import InputError
from packflow.ops import BondedTerms
from packflow.ops.nonbonded import NEUTRAL
from packflow.potential.mmff import FALLBACK_SCALES, SCALES, Mmff, MmffPrepared, parameters_of
from packflow.potential.mmff_pack import Scales, blank, pack
from packflow.potential.mmff_parameters import MoleculeParameters, UntypedError
from packflow.structure.full import FullBatch, full_mol


@dataclass(frozen=True)
class UnitedScales:
    """Factors on what Mmff says of bare heavy atoms of different molecules, fitted by bench/fit_united.py (docs/alignment_proxy.md).

    radius:      of carbon with one, two, three or more hydrogens, and of another element with any; a pair has the mean of both.
    depth:       likewise; a pair has the geometric mean of both.
    bond_radius: of pairs that can make a hydrogen bond, in place of the above.
    bond_depth:  likewise.
    charge:      of all charges, a hydrogen's added to its heavy atom's.
    """

    radius: tuple[float, float, float, float] = (1.055, 1.16, 1.117, 0.799)
    depth: tuple[float, float, float, float] = (2.105, 1.885, 4.923, 9.797)
    bond_radius: float = 0.854
    bond_depth: float = 8.736
    charge: float = 0.835

    def of(self, kinds: np.ndarray, model: str) -> Scales:
        """Factors of all pairs of a molecule's types. kinds: [n_types, 4], from `united_parameters`"""
        whole = FALLBACK_SCALES if model == "uff" else SCALES
        carbon, n_hydrogens, donor, acceptor = kinds.T
        column = np.where(carbon > 0, np.clip(n_hydrogens, 1, 3) - 1, 3)
        radius = np.where(n_hydrogens > 0, np.array(self.radius)[column], 1.0)
        depth = np.where(n_hydrogens > 0, np.array(self.depth)[column], 1.0)
        bond = np.outer(donor, acceptor) + np.outer(acceptor, donor) > 0
        return Scales(
            whole.radius * np.where(bond, self.bond_radius, (radius[:, None] + radius) / 2),
            whole.depth * np.where(bond, self.bond_depth, np.sqrt(depth[:, None] * depth)),
        )


@dataclass(frozen=True)
class MmffUnited:
    """Mmff of united atoms: charges and bonded terms of the heavy atoms, van der Waals pairs scaled for the hydrogens they carry.

    Its structures are batches of heavy atoms alone (`packflow.train.scores.heavy_batch`). It is for ordering the proposals of a template
    by how they pack; a minimum of it is none of Mmff's.

    scales: factors.
    cutoff: of van der Waals terms, Å.
    skin:   Å that neighbor lists reach farther; a score needs none.
    """

    scales: UnitedScales = field(default_factory=UnitedScales)
    cutoff: float = 8.0
    skin: float = 1e-6
    name: str = "mmff-united"

    def prepare(self, batch: FullBatch) -> MmffPrepared:
        """As `Mmff.prepare`, for heavy atoms."""
        row_of: dict[tuple[str, int], int] = {}
        for template in batch.templates:
            row_of.setdefault((template.molecule.smiles, template.n_copies), len(row_of))
        first = {(t.molecule.smiles, t.n_copies): t for t in reversed(batch.templates)}
        found = [self._look_up(smiles, first[smiles, n_copies].molecule.n_atoms) for smiles, n_copies in row_of]
        library = pack([m for m, _, _ in found], [n_copies for _, n_copies in row_of], [scales for _, scales, _ in found], self.cutoff)
        rows = [row_of[template.molecule.smiles, template.n_copies] for template in batch.templates]
        parameters = library.select(torch.tensor(rows, dtype=torch.int64))
        problems = [found[row][2] for row in rows]
        for s in (parameters.total_charges().abs() > NEUTRAL).nonzero()[:, 0].tolist():
            problems[s] = problems[s] or f"a crystal must be neutral, but {batch.templates[s].molecule.smiles} carries a charge"
        return MmffPrepared(Mmff(cutoff=self.cutoff, skin=self.skin), parameters, batch.periodic, problems)

    def _look_up(self, smiles: str, n_atoms: int) -> tuple[MoleculeParameters, Scales, str]:
        """Parameters, factors and an empty string; or blank ones and why."""
        try:
            parameters, kinds = united_parameters(smiles)
        except (UntypedError, InputError) as error:
            return blank(n_atoms), SCALES, str(error)
        return replace(parameters, charges=self.scales.charge * parameters.charges), self.scales.of(kinds, parameters.model), ""


@lru_cache(maxsize=1024)
def united_parameters(smiles: str) -> tuple[MoleculeParameters, np.ndarray]:
    """Parameters of a molecule's heavy atoms.

    Returns:
        Those of `parameters_of` without hydrogens, whose charges are added to their heavy atoms', and with types that tell the following
        apart; of each type whether it is carbon, how many hydrogens it carries, whether it can give them to a hydrogen bond (nitrogen and
        oxygen) and whether it can accept one (oxygen, and nitrogen with at most two neighbors), 0 or 1. [n_types, 4] int64

    Raises:
        UntypedError: the force fields have no parameters.
        InputError: as `full_mol`.
    """
    full, atoms = parameters_of(smiles), list(full_mol(smiles).GetAtoms())
    n = sum(atom.GetAtomicNum() > 1 for atom in atoms)
    bearer = np.array([atom.GetNeighbors()[0].GetIdx() for atom in atoms[n:]], dtype=np.int64)
    number = np.array([atom.GetAtomicNum() for atom in atoms[:n]])
    n_hydrogens = np.bincount(bearer, minlength=n)
    donor = np.isin(number, (7, 8)) & (n_hydrogens > 0)
    acceptor = (number == 8) | ((number == 7) & (np.array([atom.GetDegree() for atom in atoms[:n]]) <= 2))
    each = np.stack([full.types[:n], number == 6, n_hydrogens, donor, acceptor], 1)
    kinds, types = np.unique(each, axis=0, return_inverse=True)
    of_heavy = np.ix_(kinds[:, 0], kinds[:, 0])
    special = (full.special_index < n).all(1)
    terms = (full.terms.atoms < n).all(1)
    parameters = MoleculeParameters(
        model=full.model,
        charges=full.charges[:n] + np.bincount(bearer, full.charges[n:], minlength=n),
        types=types.reshape(-1).astype(np.int64),
        radius=full.radius[of_heavy],
        depth=full.depth[of_heavy],
        special_index=full.special_index[special],
        special_share=full.special_share[special],
        terms=BondedTerms(
            full.terms.kind[terms],
            full.terms.atoms[terms],
            full.terms.parameters[terms],
            torch.tensor([0, int(terms.sum())], dtype=torch.int32),
        ),
    )
    return parameters, kinds[:, 1:]
