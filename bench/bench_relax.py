"""`relax`: sets that refill themselves against fixed batches, and against ASE's FIRE one by one, with the same potential, one thread."""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from harness import compare, smallest

from packflow.potential.ase import AseCalculator, ase_atoms
from packflow.potential.interface import Potential
from packflow.potential.lennard_jones import LennardJones
from packflow.potential.mmff import Mmff
from packflow.relax.relax import RelaxConfig, Relaxed, relax
from packflow.structure.cif import read_cif
from packflow.structure.full import FullStructure
from packflow.structure.full_sites import full_structure

CIFS = Path(__file__).parents[1] / "tests" / "data" / "cif"
STRAIN, DISPLACEMENT = 0.08, 0.15  # of each component; Å
SET_ATOMS = 500


def starts(n: int, seed: int = 0) -> list[FullStructure]:
    """Measured crystals, strained and displaced by amounts between nothing and those above, so that some are soon done."""
    with (CIFS / "table.csv").open(newline="") as lines:
        crystals = [full_structure(read_cif(CIFS / row["file"])[0], row["smiles"]) for row in csv.DictReader(lines)]
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        crystal, size = crystals[k % len(crystals)], rng.uniform() ** 3
        strain = size * STRAIN * rng.normal(size=(3, 3))
        copies = crystal.positions.reshape(crystal.template.n_copies, -1, 3)
        center = copies.mean(1, keepdims=True)
        whole = copies + center @ (strain + strain.T) + size * DISPLACEMENT * rng.normal(size=copies.shape)
        cell = crystal.cell @ (np.eye(3) + strain + strain.T)
        out.append(FullStructure(crystal.template, whole.reshape(-1, 3), cell))
    return out


def continuous(potential: Potential, structures: list[FullStructure], config: RelaxConfig) -> list[Relaxed]:
    return sorted(relax(potential, structures, config), key=lambda r: r.index)


def fixed_batches(potential: Potential, structures: list[FullStructure], config: RelaxConfig) -> list[Relaxed]:
    """Batches of the same number of atoms, each until the last of it is done."""
    found, batch = [], []
    for structure in [*structures, None]:
        n_atoms = sum(len(s.positions) for s in batch)
        if structure is None or (batch and n_atoms + len(structure.positions) > config.max_atoms):
            found += continuous(potential, batch, replace(config, compact_share=1.0))
            batch = []
        batch.append(structure)
    return found


def by_ase(potential: Potential, structures: list[FullStructure], config: RelaxConfig) -> list[tuple[float, int]]:
    """Energy and steps of each."""
    found = []
    for structure in structures:
        atoms = ase_atoms(structure)
        atoms.calc = AseCalculator(potential, structure)
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        with warnings.catch_warnings():
            # scipy's logarithm of a strain warns of errors of 1e-13
            warnings.simplefilter("ignore", RuntimeWarning)
            optimizer.run(fmax=config.fmax, steps=config.max_steps)
        found.append((atoms.get_potential_energy(), optimizer.nsteps))
    return found


def check_same(ours: list[Relaxed], theirs: list[Relaxed]) -> None:
    assert [r.n_steps for r in ours] == [r.n_steps for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a.structure.positions, b.structure.positions, rtol=0, atol=1e-6)


def check_steps(ours: list[Relaxed], theirs: list[tuple[float, int]]) -> None:
    """The same way: as many steps, to the same energy."""
    assert [r.n_steps for r in ours] == [n for _, n in theirs]
    assert np.allclose([r.energy for r in ours], [e for e, _ in theirs], rtol=1e-6, atol=1e-6)


def check_not_worse(ours: list[Relaxed], theirs: list[tuple[float, int]]) -> None:
    """Another way: all converged, together to an energy that is not higher."""
    assert all(r.converged for r in ours)
    assert sum(r.energy for r in ours) < sum(e for e, _ in theirs) + 1e-3 * len(ours)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    potentials: list[tuple[Potential, int]] = [(Mmff(), 2)] if quick else [(LennardJones(), 16), (Mmff(), 64)]
    for potential, n in potentials:
        structures = starts(4 * n if n < 64 else 128)
        n_atoms = sum(len(s.positions) for s in structures)
        config = RelaxConfig(max_atoms=60 if quick else SET_ATOMS)
        compare(
            "relax",
            f"{len(structures)} crystals, {n_atoms} atoms, {potential.name}",
            "fixed batches",
            lambda p=potential, s=structures, c=config: continuous(p, s, c),
            lambda p=potential, s=structures, c=config: fixed_batches(p, s, c),
            check_same,
            ("crystals", len(structures)),
            quick=quick,
        )
        structures = structures[:n]
        by_fire = replace(RelaxConfig.as_ase(), max_steps=10 if quick else 1000)
        by_lbfgs = RelaxConfig(max_stress_gpa=None)
        for peer, config, check in (("ASE, same FIRE", by_fire, check_steps), ("ASE, FIRE", by_lbfgs, check_not_worse)):
            compare(
                "relax",
                f"{n} crystals, {potential.name}",
                peer,
                lambda p=potential, s=structures, c=config: continuous(p, s, c),
                lambda p=potential, s=structures, c=by_fire: by_ase(p, s, c),
                check,
                ("crystals", n),
                packages=("ase",),
                quick=True,  # ASE takes minutes
            )


if __name__ == "__main__":
    main()
