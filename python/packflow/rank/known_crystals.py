"""Ranked structures beside crystals that are known, such as measured ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rdkit import Chem

from packflow.metrics.packing_similarity import PackingSimilarities, packing_similarities
from packflow.rank.lattice_energy import relative_energy_kj_mol
from packflow.rank.ranking import Match, Ranked, Ranking
from packflow.relax.relax import Relaxed
from packflow.structure.crystal import Crystal
from packflow.structure.full import FullStructure
from packflow.structure.full_frame import heavy_crystal
from packflow.structure.molecule import heavy_atom_mol


@dataclass(frozen=True)
class Known:
    """A crystal that is known.

    name:    of it.
    crystal: as it was measured; what packings are compared with.
    relaxed: what became of it by the potential and protocol of the ranking, for energies; None if it was not relaxed.
    """

    name: str
    crystal: FullStructure
    relaxed: Relaxed | None = None

    @property
    def energy(self) -> float:
        """eV per molecule; NaN where it was not relaxed to the end."""
        good = self.relaxed is not None and self.relaxed.converged and not self.relaxed.problem
        return self.relaxed.energy / self.crystal.template.n_copies if good and self.relaxed else np.nan


def compare_with_known(
    ranking: Ranking, known: Sequence[Known], n_best: int = 1000, n_molecules: int = 15, tolerance: float = 1.0
) -> Ranking:
    """Say of the best structures which known crystal each is, if any: RMSD_15, and the energy above the known ones.

    Structures are compared with the known crystals of their molecule, stereochemistry aside. Of several, the one of which more molecules
    overlay is taken, then the one with the lower RMSD.

    Args:
        ranking: By the potential that relaxed the known crystals.
        known: Of any molecules.
        n_best: Packings are compared down to this rank, a millisecond or so each; energies of all.
        n_molecules: Of the cluster; as `packflow.metrics.packing_similarity`, so the next.
        tolerance: Å, RMSD of a molecule that matches.

    Returns:
        The ranking with a `match` for each structure of a molecule that is known, as far as it has a rank.

    Raises:
        ValueError: two known crystals with one name, or as `packing_similarities`.
    """
    if len({one.name for one in known}) < len(known):
        raise ValueError(f"known must have different names, got {sorted(one.name for one in known)}")
    by_molecule: dict[str, list[Known]] = defaultdict(list)
    for one in known:
        by_molecule[_constitution(one.crystal.template.molecule.smiles)].append(one)
    rows = [(row, by_molecule.get(_constitution(row.smiles), [])) for row in ranking.rows]
    wanted = [(row, one) for row, ones in rows if row.rank is not None and row.rank <= n_best for one in ones]
    found = _similarities(wanted, n_molecules, tolerance)
    matches: dict[str, list[Match]] = defaultdict(list)
    for k, (row, one) in enumerate(wanted):
        above = _above(row, by_molecule[_constitution(row.smiles)])
        n_matched, rmsd, problem = int(found.n_matched[k]), float(found.rmsd[k]), found.problems[k]
        matches[row.name].append(Match(one.name, n_matched, n_molecules, rmsd, above, problem))
    return replace(ranking, rows=tuple(_with_match(row, ones, matches[row.name]) for row, ones in rows))


def _constitution(smiles: str) -> str:
    """Canonical SMILES without stereochemistry: a measured racemate may be written down as either enantiomer."""
    return str(Chem.MolToSmiles(heavy_atom_mol(smiles), isomericSmiles=False))


def _similarities(pairs: list[tuple[Ranked, Known]], n_molecules: int, tolerance: float) -> PackingSimilarities:
    """Of known crystals and structures, each prepared once."""
    places: dict[str, int] = {}
    crystals: list[Crystal] = []
    for row, one in pairs:
        for key, structure in ((f"known {one.name}", one.crystal), (f"row {row.name}", row.checked.structure)):
            if key not in places:
                places[key] = len(crystals)
                crystals.append(heavy_crystal(structure))
    index = [[places[f"known {one.name}"], places[f"row {row.name}"]] for row, one in pairs]
    return packing_similarities(crystals, torch.tensor(index, dtype=torch.int64).reshape(-1, 2), n_molecules, tolerance)


def _above(row: Ranked, known: Sequence[Known]) -> float:
    """kJ/mol per molecule above the most stable known crystal that was relaxed; NaN without one."""
    energies = [one.energy for one in known if np.isfinite(one.energy)]
    return relative_energy_kj_mol(row.checked.energy, 1, min(energies)) if energies else np.nan


def _with_match(row: Ranked, known: Sequence[Known], matches: Sequence[Match]) -> Ranked:
    """The row with the best match; without one, of a ranked structure, with its energy alone."""
    if matches:
        return replace(row, match=min(matches, key=lambda m: (-m.n_matched, np.inf if np.isnan(m.rmsd) else m.rmsd, m.known)))
    if row.rank is not None and known:
        return replace(row, match=Match("", -1, 0, np.nan, _above(row, known), "packings were compared of better ranks only"))
    return row
