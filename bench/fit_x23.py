"""Fit the two factors of Mmff between molecules to the X23 benchmark, each crystal judged by a fit to the others (docs/energy.md).

fit_x23.py FOLDER [--fallback] [--relax] [--factors RADIUS DEPTH]: FOLDER holds `solid/` and `mol/` (POSCAR files) and `DMC` (kJ/mol, one
line per crystal in the order of the files). Standard output gets one JSON object a crystal, standard error means.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import LBFGS
from scipy.interpolate import CubicSpline

from packflow.ops import nonbonded
from packflow.potential import Mmff
from packflow.potential.mmff import parameters_of
from packflow.potential.mmff_fallback import fallback_parameters
from packflow.potential.mmff_pack import Scales
from packflow.structure.cif import from_ase
from packflow.structure.full import FullBatch, FullStructure, full_numbers
from packflow.structure.full_sites import full_structure

KJ_MOL = 96.48533  # per eV
UNPERCEIVED = {"07co2": "O=C=O"}  # without hydrogens bond orders cannot be perceived
RADII = np.round(np.arange(0.90, 1.041, 0.01), 2)
DEPTHS = np.round(np.arange(0.6, 2.41, 0.05), 2)
EXPANSIONS = np.array([0.94, 0.96, 0.98, 0.99, 1.0, 1.01, 1.02, 1.04, 1.06, 1.09])
# What counts as one unit of error: kJ/mol of lattice energy, % of density.
ENERGY_UNIT, DENSITY_UNIT = 10.0, 5.0
FMAX, MAX_STEPS = 0.005, 2000  # eV/Å


@dataclass(frozen=True)
class Case:
    """A crystal of the benchmark, its molecule in the gas phase, and the lattice energy that they should give, kJ/mol."""

    name: str
    crystal: FullStructure
    gas: FullStructure
    reference: float

    @property
    def n_copies(self) -> int:
        return self.crystal.template.n_copies

    @property
    def volume(self) -> float:
        return float(abs(np.linalg.det(self.crystal.cell)))


def read_cases(folder: Path) -> list[Case]:
    """All crystals of the folder, in the order of their files."""
    references = [float(line.split()[0]) for line in (folder / "DMC").read_text().splitlines() if line.strip()]
    cases = []
    for file, reference in zip(sorted((folder / "solid").glob("*.vasp")), references, strict=True):
        smiles = UNPERCEIVED.get(file.stem)
        crystal = full_structure(from_ase(read(file)), smiles)
        gas = full_structure(from_ase(read(folder / "mol" / file.name)), crystal.template.molecule.smiles)
        cases.append(Case(file.stem, crystal, replace(gas, cell=None), reference))
    return cases


def mmff(radius: float, depth: float, fallback: bool) -> Mmff:
    """The potential with these factors, for all molecules or those that the fallback is for."""
    scales = Scales(radius, depth)
    return Mmff(scales=scales, fallback_scales=scales, parameters=fallback_parameters if fallback else parameters_of)


def rigid_parts(case: Case, fallback: bool) -> tuple[np.ndarray, np.ndarray]:
    """Energies between rigid molecules of the crystal, expanded and compressed: van der Waals at depth 1, and Coulomb, kJ/mol.

    [n_radii, n_expansions], [n_expansions]
    """
    molecules = case.crystal.positions.reshape(case.n_copies, -1, 3)
    centers = molecules.mean(1, keepdims=True)
    structures = [
        FullStructure(case.crystal.template, (molecules + (x - 1) * centers).reshape(-1, 3), x * case.crystal.cell) for x in EXPANSIONS
    ]
    alone = FullStructure(replace(case.crystal.template, n_copies=1), molecules[0], None)
    batch = FullBatch.pack([*structures, alone])
    van_der_waals = []
    for radius in RADII.tolist():
        potential = mmff(radius, 1.0, fallback)
        arguments = potential.prepare(batch).nonbonded_arguments()
        found = nonbonded(batch.positions, batch.cell, **arguments, cutoff=potential.cutoff)
        assert not any(found.reasons())
        van_der_waals.append((found.van_der_waals[:-1] / case.n_copies - found.van_der_waals[-1]).numpy())
    coulomb = (found.coulomb[:-1] / case.n_copies - found.coulomb[-1]).numpy()
    return KJ_MOL * np.stack(van_der_waals), KJ_MOL * coulomb


def rigid_errors(case: Case, fallback: bool) -> np.ndarray:
    """Errors of lattice energy (kJ/mol) and density (%) at the best expansion, for all factors. [n_radii, n_depths, 2]"""
    van_der_waals, coulomb = rigid_parts(case, fallback)
    fine = np.linspace(EXPANSIONS[0], EXPANSIONS[-1], 600)
    errors = np.empty((len(RADII), len(DEPTHS), 2))
    for k, depth in enumerate(DEPTHS):
        energy = CubicSpline(EXPANSIONS, depth * van_der_waals + coulomb, axis=1)(fine)
        errors[:, k, 0] = energy.min(1) - case.reference
        errors[:, k, 1] = 100 * (fine[energy.argmin(1)] ** -3 - 1)
    return errors


def best(errors: np.ndarray) -> tuple[int, int]:
    """Factors of the smallest mean error over some crystals. [n_crystals, n_radii, n_depths, 2] -> rows of RADII and DEPTHS"""
    cost = (np.abs(errors) / [ENERGY_UNIT, DENSITY_UNIT]).mean(0).sum(-1)
    radius, depth = np.unravel_index(cost.argmin(), cost.shape)
    return int(radius), int(depth)


class MmffCalculator(Calculator):
    """Mmff for ASE: one structure, its atoms in the order of FullStructure."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, potential: Mmff, structure: FullStructure) -> None:
        super().__init__()
        self.prepared = potential.prepare(FullBatch.pack([structure]))

    def calculate(self, atoms: Atoms, properties: Sequence[str] = ("energy",), changes: Sequence[str] = tuple(all_changes)) -> None:
        super().calculate(atoms, properties, changes)
        found = self.prepared.evaluate(torch.from_numpy(atoms.positions.copy()), torch.from_numpy(np.array(atoms.cell))[None])
        if found.problems[0]:
            raise ValueError(found.problems[0])
        stress = found.stress[0].numpy()
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": float(found.energy[0]), "forces": found.forces.numpy(), "stress": voigt}


def relax(potential: Mmff, structure: FullStructure) -> tuple[float, float, float, int]:
    """Energy (eV), volume (Å3), largest residual stress (GPa) and number of steps of the relaxed structure."""
    atoms = Atoms(full_numbers(structure.template), structure.positions, cell=structure.cell, pbc=structure.cell is not None)
    atoms.calc = MmffCalculator(potential, structure)
    periodic = structure.cell is not None
    optimizer = LBFGS(FrechetCellFilter(atoms) if periodic else atoms, logfile=None)
    optimizer.run(fmax=FMAX, steps=MAX_STEPS)
    residual = float(np.abs(atoms.get_stress()).max()) * 160.21766 if periodic else 0.0
    return float(atoms.get_potential_energy()), float(atoms.get_volume()) if periodic else 0.0, residual, int(optimizer.nsteps)


def relaxed_errors(case: Case, potential: Mmff) -> dict[str, float]:
    """Errors of lattice energy (kJ/mol) and density (%) after relaxing crystal and molecule."""
    energy, volume, residual, n_steps = relax(potential, case.crystal)
    gas, _, _, _ = relax(potential, case.gas)
    lattice_energy = KJ_MOL * (energy / case.n_copies - gas)
    return {
        "lattice_energy": round(lattice_energy, 2),
        "energy_error": round(lattice_energy - case.reference, 2),
        "density_error": round(100 * (case.volume / volume - 1), 2),
        "residual_gpa": round(residual, 3),
        "n_steps": n_steps,
    }


def summary(rows: Sequence[dict], prefix: str) -> str:
    energy, density = (np.array([row[f"{prefix}{what}_error"] for row in rows]) for what in ("energy", "density"))
    return (
        f"lattice energy MAE {np.abs(energy).mean():.1f}, mean error {energy.mean():+.1f} kJ/mol; "
        f"density MAE {np.abs(density).mean():.1f}, mean error {density.mean():+.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fallback", action="store_true", help="fit the parameters of untyped molecules, used for all")
    parser.add_argument("--relax", action="store_true", help="relax each crystal with the factors that were fitted without it")
    parser.add_argument("--factors", type=float, nargs=2, help="judge this radius and depth, of all crystals, instead of a fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # of SciPy, about 2e-13
    warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
    cases = read_cases(options.folder)
    errors = np.stack([rigid_errors(case, options.fallback) for case in cases])
    models = [parameters_of(case.crystal.template.molecule.smiles).model for case in cases]
    of_model = [k for k, model in enumerate(models) if options.fallback or model == "mmff94s"]
    radius, depth = best(errors[of_model])
    print(f"fit to all {len(of_model)}: radius {RADII[radius]}, depth {DEPTHS[depth]}", file=sys.stderr)
    rows = []
    for k in of_model:
        i, j = best(errors[[other for other in of_model if other != k]])
        factors = tuple(options.factors) if options.factors else (float(RADII[i]), float(DEPTHS[j]))
        row = {"crystal": cases[k].name, "radius": factors[0], "depth": factors[1]}
        if not options.factors:
            row |= {"rigid_energy_error": round(errors[k, i, j, 0], 2), "rigid_density_error": round(errors[k, i, j, 1], 2)}
        if options.relax:
            row |= relaxed_errors(cases[k], mmff(*factors, options.fallback))
        print(json.dumps(row), flush=True)
        rows.append(row)
    if not options.factors:
        print(f"rigid molecules, held out: {summary(rows, 'rigid_')}", file=sys.stderr)
    if options.relax:
        print(f"relaxed{'' if options.factors else ', held out'}: {summary(rows, '')}", file=sys.stderr)


if __name__ == "__main__":
    main()
