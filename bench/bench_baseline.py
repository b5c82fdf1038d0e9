"""Random packing and Rigid Press: accepted structures per second, random packing against PyXtal.

Without PyXtal only that ours runs is shown. PyXtal's volumes are two to three times those of crystals, and its molecules may be as near as
1.2 times the sum of covalent radii (two carbon atoms 1.8 Å; ours 2.9 Å). So there are four cases:
- its volume and contacts: PyXtal as it comes; ours at that volume with its own, stricter contacts;
- same contacts: both at PyXtal's volume, no two atoms nearer than 0.85 of the sum of van der Waals radii;
- same contacts, 1.5: likewise at 1.5 times the volume that Hofmann's atomic volumes give;
- a crystal's volume: ours begins at that volume, PyXtal as it comes. Not the same task: ours is the harder one.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from functools import partial

import numpy as np
import spglib
import torch
from ase.neighborlist import primitive_neighbor_list
from harness import compare, smallest

from packflow.baseline import Packing, PackingConfig, random_packings, rigid_press
from packflow.baseline.pyxtal_adapter import VOLUME_FACTOR, PyxtalPacking, pyxtal_packings, pyxtal_volume
from packflow.baseline.tries import all_positions
from packflow.structure import Molecule, Template
from packflow.structure.packing_volume import packing_volume

SCALE = 0.85
MOLECULES = {
    "urea": "NC(N)=O",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
}
GROUPS = (14, 19, 33)
N_COPIES = 4


def symmetry(cell: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spglib.get_symmetry_dataset((cell, positions.reshape(-1, 3) @ np.linalg.inv(cell), numbers), symprec=1e-3).number


def worst_contact(cell: np.ndarray, positions: np.ndarray, radii: np.ndarray) -> float:
    """Smallest distance between atoms of different molecules over the sum of their van der Waals radii, by ASE."""
    n = positions.shape[1]
    i, j, d, shift = primitive_neighbor_list("ijdS", (True,) * 3, cell, positions.reshape(-1, 3), 4.0)
    between = (i // n != j // n) | (shift != 0).any(1)
    return float((d / (radii[i % n] + radii[j % n]))[between].min(initial=9.0))


def check(ours: list[Packing], theirs: list[PyxtalPacking]) -> None:
    """No contact in ours, and in both the symmetry that was asked for."""
    numbers = np.tile(ours[0].conformer.atomic_numbers, N_COPIES)
    for packing in ours:
        positions, cell = all_positions(packing.placement, packing.conformer, packing.arrangement), packing.arrangement.cell
        assert not packing.problem
        assert worst_contact(cell, positions, packing.conformer.radii) >= SCALE
        assert symmetry(cell, positions, numbers) == packing.space_group
    for theirs_one in theirs:
        assert symmetry(theirs_one.cell, theirs_one.positions, numbers) == theirs_one.space_group


def check_same_contacts(ours: list[Packing], theirs: list[PyxtalPacking]) -> None:
    """As `check`, and PyXtal's contacts are about those of ours; not all are."""
    check(ours, theirs)
    found = [worst_contact(packing.cell, packing.positions, ours[0].conformer.radii) for packing in theirs]
    assert np.median(found) > 0.8


def against_pyxtal(quick: bool) -> None:
    n = 3 if quick else 12
    for name, smiles in list(MOLECULES.items())[: 1 if quick else None]:
        template = Template(Molecule.from_smiles(smiles), N_COPIES)
        own = pyxtal_volume(template) / packing_volume(template.molecule)
        at_its, at_half = (PackingConfig(SCALE, volume_factor=f, growth=0.0, space_groups=GROUPS) for f in (VOLUME_FACTOR * own, 1.5))
        for case, config, factor, scale in (
            ("its volume and contacts", at_its, VOLUME_FACTOR, None),
            ("same contacts", at_its, VOLUME_FACTOR, SCALE),
            ("same contacts, 1.5", at_half, 1.5 / own, SCALE),
            ("a crystal's volume", PackingConfig(SCALE, space_groups=GROUPS), VOLUME_FACTOR, None),
        ):
            compare(
                "packing",
                f"{name}, {case}",
                "pyxtal",
                partial(random_packings, template, n, 0, config),
                partial(pyxtal_packings, template, GROUPS, n, volume_factor=factor, scale=scale),
                check_same_contacts if scale else check,
                ("structures", n),
                packages=("pyxtal",),
                quick=quick,
            )


def alone(quick: bool) -> None:
    """How long ours takes, and how dense its packings are."""
    n = 4 if quick else 64
    for name, smiles in list(MOLECULES.items())[: 1 if quick else None]:
        template = Template(Molecule.from_smiles(smiles), N_COPIES)
        random_packings(template, 1)
        start = time.perf_counter()
        drawn = random_packings(template, n)
        middle = time.perf_counter()
        pressed = rigid_press(drawn)
        end = time.perf_counter()
        check(drawn, [])
        wanted = N_COPIES * packing_volume(template.molecule)
        for what, packings, seconds in (("random", drawn, middle - start), ("rigid press", pressed, end - middle)):
            volumes = [np.linalg.det(packing.arrangement.cell) / wanted for packing in packings]
            found = sum(not packing.problem for packing in packings)
            print(f"{name:<12} {what:<12} {1e3 * seconds / n:8.1f} ms each, {found}/{n}, V/Hofmann {np.mean(volumes):.2f}", file=sys.stderr)


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    quick = smallest()
    if importlib.util.find_spec("pyxtal") is None:
        print("PyXtal is not installed: pip install pyxtal", file=sys.stderr)
    else:
        against_pyxtal(quick)
    alone(quick)


if __name__ == "__main__":
    main()
