"""Fit the factors of MmffUnited to what Mmff says of crystals that shrink and swell, their molecules rigid.

fit_united.py DATASET [--n-molecules 120]: DATASET is a folder of `packflow prepare`. One crystal of each of so many molecules of its train
split is fitted, one of each molecule of its validation split judges. Standard error gets the errors, standard output the factors.

The centers of molecules follow the cell, so that only energies between molecules change. Hydrogens are relaxed once, before.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import astuple, dataclass, replace

import numpy as np
import torch
from scipy.optimize import least_squares

from packflow.data.dataset import CrystalDataset
from packflow.potential.mmff import Mmff
from packflow.potential.mmff_united import MmffUnited, UnitedScales
from packflow.relax.hydrogens import add_hydrogens
from packflow.relax.relax import RelaxConfig, relax
from packflow.structure import Crystal
from packflow.structure.full import FullBatch, FullStructure
from packflow.train.scores import heavy_batch

# lengths in units of the crystal's; energies are compared with that at 1
EXPANSIONS = (0.90, 0.94, 0.97, 1.0, 1.03, 1.06, 1.12)
# eV per heavy atom: a small energy's error counts in units of this, a large one's in units of the energy
UNIT = 0.02
MAX_ATOMS = 100
# molecules evaluated together; the tables of van der Waals pairs grow with their square
AT_ONCE = 12
LOWEST, HIGHEST = [0.7] * 4 + [0.3] * 4 + [0.6, 0.3, 0.0], [1.4] * 4 + [12.0] * 4 + [1.2, 80.0, 1.2]


@dataclass(frozen=True)
class Curves:
    """Crystals at all expansions, and what Mmff says of them.

    heavy:  structures of heavy atoms, expansion by expansion.
    wanted: [n_expansions, n_crystals] eV per heavy atom above the crystal as it is.
    n:      [n_crystals] heavy atoms.
    """

    heavy: FullBatch
    wanted: np.ndarray
    n: np.ndarray

    @classmethod
    def of(cls, crystals: list[Crystal]) -> Curves:
        """Of crystals whose hydrogens can be placed and relaxed."""
        found = add_hydrogens(crystals)
        good = [k for k, hydrogenated in enumerate(found) if hydrogenated.structure is not None]
        config = RelaxConfig(cell="fixed", moving="hydrogens", max_steps=200)
        relaxed = sorted(relax(Mmff(), (found[k].structure for k in good), config), key=lambda r: r.index)
        pairs = [(crystals[k], r.structure) for k, r in zip(good, relaxed, strict=True) if not r.problem]
        n = np.array([crystal.template.n_atoms for crystal, _ in pairs])
        full = FullBatch.pack([expanded_full(structure, s) for s in EXPANSIONS for _, structure in pairs])
        heavy = heavy_batch([expanded(crystal, structure, s) for s in EXPANSIONS for crystal, structure in pairs])
        return cls(heavy, rises(Mmff(), full, n), n)

    def errors(self, scales: UnitedScales) -> np.ndarray:
        """Of united atoms. [n_expansions, n_crystals]"""
        return (rises(MmffUnited(scales), self.heavy, self.n) - self.wanted) / (UNIT + np.abs(self.wanted))

    def best_lengths(self, rises: np.ndarray) -> np.ndarray:
        """Where the parabola through the three lowest points of each curve has its minimum. [n_expansions, n_crystals] -> [n_crystals]"""
        x, best = np.array(EXPANSIONS), []
        for curve in rises.T:
            k = int(np.clip(curve.argmin(), 1, len(x) - 2))
            a, b, _ = np.polyfit(x[k - 1 : k + 2], curve[k - 1 : k + 2], 2)
            best.append(-b / (2 * a))
        return np.array(best)


def expanded_full(structure: FullStructure, factor: float) -> FullStructure:
    """With the center of each molecule at `factor` times its place."""
    copies = structure.positions.reshape(structure.template.n_copies, -1, 3)
    moved = copies + (factor - 1) * copies.mean(1, keepdims=True)
    return replace(structure, positions=moved.reshape(-1, 3), cell=factor * structure.cell)


def expanded(crystal: Crystal, structure: FullStructure, factor: float) -> Crystal:
    """The heavy atoms of `expanded_full`."""
    n_copies, n = crystal.template.n_copies, crystal.template.molecule.n_atoms
    positions = expanded_full(structure, factor).positions.reshape(n_copies, -1, 3)[:, :n].reshape(-1, 3)
    return replace(crystal, positions=positions, lattice=crystal.lattice * np.array([factor] * 3 + [1.0] * 3))


def rises(potential: Mmff | MmffUnited, batch: FullBatch, n: np.ndarray) -> np.ndarray:
    """Energies per heavy atom above those at expansion 1; not finite where one cannot be evaluated. [n_expansions, n_crystals]"""
    rows = torch.arange(len(batch)).reshape(len(EXPANSIONS), len(n))
    parts = []
    for some in rows.split(AT_ONCE, 1):
        part = batch.select(some.flatten())
        energy = potential.prepare(part).evaluate(part.positions, part.cell).energy
        parts.append(energy.reshape(some.shape).numpy())
    energies = np.concatenate(parts, 1)
    return (energies - energies[EXPANSIONS.index(1.0)]) / n


def one_of_each(dataset: CrystalDataset, split: str, n_molecules: int) -> list[Crystal]:
    """A crystal of each of at most so many molecules, drawn with a fixed seed."""
    rows = np.random.default_rng(0).permutation(dataset.indices(split))
    rows = rows[dataset.n_atoms[rows] <= MAX_ATOMS]
    _, first = np.unique(dataset.molecule_index[rows], return_index=True)
    return [dataset[int(row)] for row in rows[np.sort(first)][:n_molecules]]


def scales_of(x: np.ndarray) -> UnitedScales:
    """From eleven numbers in the order of the fields."""
    return UnitedScales(tuple(x[:4].tolist()), tuple(x[4:8].tolist()), *x[8:].tolist())  # type: ignore[arg-type]


def tell(name: str, curves: Curves, scales: UnitedScales) -> None:
    """Errors of a set to standard error."""
    united = rises(MmffUnited(scales), curves.heavy, curves.n)
    found, wanted = curves.best_lengths(united), curves.best_lengths(curves.wanted)
    good = np.isfinite(found) & np.isfinite(wanted)
    errors = np.abs(curves.errors(scales))
    correlation = np.corrcoef(np.log1p(united[0, good].clip(0)), np.log1p(curves.wanted[0, good].clip(0)))[0, 1]
    print(
        f"{name}: {good.sum()} crystals, median error {np.nanmedian(errors):.2f}; best length {found[good].mean():.3f} ± "
        f"{found[good].std():.3f} (Mmff {wanted[good].mean():.3f} ± {wanted[good].std():.3f}); at {EXPANSIONS[0]}: r = {correlation:.2f}",
        file=sys.stderr,
    )


def main() -> None:
    """Fit and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--n-molecules", type=int, default=120)
    args = parser.parse_args()
    dataset = CrystalDataset.open(args.dataset)
    train, validation = (Curves.of(one_of_each(dataset, split, args.n_molecules)) for split in ("train", "validation"))
    start = np.array([v for field in astuple(UnitedScales()) for v in np.atleast_1d(field)])
    tell("train, before", train, UnitedScales())

    def residuals(x: np.ndarray) -> np.ndarray:
        return np.nan_to_num(train.errors(scales_of(x)), nan=0.0).ravel()

    found = least_squares(residuals, start, bounds=(LOWEST, HIGHEST), diff_step=0.01, loss="soft_l1", f_scale=0.3, max_nfev=25)
    for name, curves in (("train", train), ("validation", validation)):
        tell(name, curves, scales_of(found.x))
    print(scales_of(np.round(found.x, 3)))


if __name__ == "__main__":
    main()
