"""From a SMILES to ranked crystals, against measured ones: python bench/end_to_end.py OPEN_CRYSTALS.zip [--n-samples 200] [--clean]

Paracetamol, benzene and urea, `mmff`. The measured packing is relaxed (does it stay?), then proposals of the installed weights with as
many molecules in the cell are sampled, given hydrogens and relaxed the same way. Prints a JSON object a molecule: RMSD_15 of the measured
crystal before and after its relaxation, the best RMSD_15 among all relaxed proposals and the energy of that one above the measured
packing, the lowest energy found, how many failed, and seconds of each part.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ase import Atoms

import packflow
from packflow import Checks, SampleConfig
from packflow.metrics.packing_similarity import packing_similarity
from packflow.potential import Mmff, Potential
from packflow.potential.ase import ase_atoms
from packflow.relax.hydrogens import add_hydrogens
from packflow.relax.relax import RelaxConfig, Relaxed, relax
from packflow.structure.cif import read_cif
from packflow.structure.full import FullStructure
from packflow.structure.full_sites import full_structure

MOLECULES = {
    "paracetamol": ("cod-tools__tests_inputs_7105573-no-Z_94728c.cif", "CC(=O)Nc1ccc(O)cc1"),
    "benzene": ("OpenFFCrystalBenchmarking__data_CIF_2100348_a3934e.cif", "c1ccccc1"),
    "urea": ("OpenFFCrystalBenchmarking__data_CIF_2019369_6aedb6.cif", "NC(N)=O"),
}
KJ_PER_EV = 96.4853


def measured(archive: zipfile.ZipFile, name: str, smiles: str) -> FullStructure:
    """A crystal of the archive with its hydrogens."""
    (member,) = (entry for entry in archive.namelist() if entry.endswith(name))
    with TemporaryDirectory() as folder:
        return full_structure(read_cif(archive.extract(member, folder))[0], smiles)


def relaxed(potential: Potential, structures: Sequence[FullStructure]) -> list[Relaxed]:
    """Hydrogens alone first, then all; by place in the input."""
    settled: list[FullStructure] = [r.structure for r in _in_order(potential, structures, RelaxConfig.of_hydrogens())]
    return _in_order(potential, settled, RelaxConfig())


def _in_order(potential: Potential, structures: Sequence[FullStructure], config: RelaxConfig) -> list[Relaxed]:
    return sorted(relax(potential, structures, config), key=lambda r: r.index)


def rmsd_15(one: FullStructure, other: FullStructure) -> tuple[int, float]:
    """Molecules that match and their RMSD, heavy atoms."""
    found = packing_similarity(heavy(one), heavy(other))
    return found.n_matched, found.rmsd


def heavy(structure: FullStructure) -> Atoms:
    """Heavy atoms for ASE."""
    atoms = ase_atoms(structure)
    return atoms[atoms.numbers > 1]


def run(name: str, crystal: FullStructure, n_samples: int, clean: bool) -> dict[str, object]:
    """One molecule."""
    potential, template = Mmff(), crystal.template
    (known,) = relaxed(potential, [crystal])
    matched, moved = rmsd_15(crystal, known.structure)
    seconds = {}
    start = time.perf_counter()
    proposals = packflow.sample(packflow.load(), template, n_samples, seed=0, config=SampleConfig(), checks=Checks(clean=clean))
    seconds["sample"], start = time.perf_counter() - start, time.perf_counter()
    placed = add_hydrogens([p.crystal for p in proposals if not p.problem])
    full = [h.structure for h in placed if h.structure is not None]
    seconds["hydrogens"], start = time.perf_counter() - start, time.perf_counter()
    results = [r for r in relaxed(potential, full) if not r.problem]
    seconds["relax"] = time.perf_counter() - start
    above = (np.array([r.energy for r in results]) - known.energy) * KJ_PER_EV / template.n_copies
    matches = [rmsd_15(known.structure, r.structure) for r in results]
    order = sorted(range(len(results)), key=lambda k: (-matches[k][0], matches[k][1]))
    best = order[0]
    return {
        "molecule": name,
        "n_copies": template.n_copies,
        "measured_matched_after_relaxation": matched,
        "measured_rmsd_15_after_relaxation": moved,
        "measured_volume_change_percent": float(100 * (np.linalg.det(known.structure.cell) / np.linalg.det(crystal.cell) - 1)),
        "proposals": n_samples,
        "without_structure": n_samples - len(full),
        "relaxed": len(results),
        "converged": sum(r.converged for r in results),
        "best_matched": matches[best][0],
        "best_rmsd": matches[best][1],
        "best_energy_above_measured_kj_mol": float(above[best]),
        "best_rank_by_energy": int((above < above[best]).sum()) + 1,
        "lowest_energy_above_measured_kj_mol": float(above.min()),
        "seconds": seconds,
    }


def main() -> None:
    """All molecules."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("--n-samples", type=int, default=200)
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--molecules", nargs="*", default=list(MOLECULES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    with zipfile.ZipFile(args.archive) as archive:
        for name in args.molecules:
            row = run(name, measured(archive, *MOLECULES[name]), args.n_samples, args.clean)
            print(json.dumps(row), flush=True)
            print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
