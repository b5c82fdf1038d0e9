"""The clean-up of a batch against the same call for one crystal after the other.

Crystals are molecules at random in cells of their expected volume, so that all of them clash and take nearly all steps: the most that
a clean-up can cost.
"""

from __future__ import annotations

import numpy as np
import torch
from harness import compare, smallest
from scipy.spatial.transform import Rotation

from packflow.elements import COVALENT_RADII, SYMBOLS
from packflow.relax.clean import clean_crystals
from packflow.relax.clean_volume import expected_volume
from packflow.structure import AtomsBatch, Crystal, Molecule, Template

SMILES = ("NC(N)=O", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "OC(=O)CCC(=O)O")
COPIES = (2, 4)
# Å; rounding is all that can differ
AGREE = 1e-6


def shape_of(molecule: Molecule) -> np.ndarray:
    """Coordinates with nearly the right bonds, by one coordinate after the other from the bonds alone. [n_atoms, 3], Å"""
    i, j = molecule.bond_index
    radii = np.array([COVALENT_RADII[SYMBOLS[z]] for z in molecule.atomic_numbers.tolist()])
    x = np.random.default_rng(0).normal(size=(molecule.n_atoms, 3)) * 2
    near, (_, low, high) = molecule.pair_index, molecule.pair_features.astype(float).T
    for _ in range(2000):
        apart = x[near[1]] - x[near[0]]
        distance = np.linalg.norm(apart, axis=1).clip(1e-6)
        move = 0.1 * ((distance - distance.clip(low, high)) / distance)[:, None] * apart
        np.add.at(x, near[0], move)
    assert abs(np.linalg.norm(x[i] - x[j], axis=1) - radii[i] - radii[j]).max() < 0.4
    return x - x.mean(0)


def packing(template: Template, shape: np.ndarray, seed: int) -> Crystal:
    """Molecules turned and placed at random in a cube of their expected volume."""
    rng = np.random.default_rng(seed)
    lattice = np.array([1.0, 1, 1, 90, 90, 90])
    one = Crystal(template, np.zeros((template.n_atoms, 3)), lattice)
    edge = float(expected_volume(AtomsBatch.from_crystals([one]))) ** (1 / 3)
    turns = Rotation.random(template.n_copies, random_state=rng)
    x = np.concatenate([turn.apply(shape) + edge * rng.random(3) for turn in turns])
    return Crystal(template, x - x.mean(0), lattice * np.r_[[edge] * 3, 1, 1, 1])


def check(ours: list[Crystal], theirs: list[Crystal]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one.positions - other.positions).max() < AGREE
        assert np.abs(one.lattice - other.lattice).max() < AGREE


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    templates = [Template(Molecule.from_smiles(smiles), copies) for smiles in SMILES for copies in COPIES]
    shapes = [shape_of(template.molecule) for template in templates]
    for n_crystals in (4,) if quick else (8, 32, 64):
        crystals = [packing(templates[k % len(templates)], shapes[k % len(templates)], k) for k in range(n_crystals)]
        n_atoms = sum(crystal.template.n_atoms for crystal in crystals)
        compare(
            "clean",
            f"{n_crystals} crystals, {n_atoms} atoms",
            "one by one",
            lambda crystals=crystals: clean_crystals(crystals)[0],
            lambda crystals=crystals: [clean_crystals([crystal])[0][0] for crystal in crystals],
            check,
            ("crystals", n_crystals),
            quick=quick,
        )


if __name__ == "__main__":
    main()
