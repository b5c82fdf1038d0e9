"""Sample crystal proposals of a molecule and look at them: python examples/01_sample.py [SMILES]."""

import sys

import packflow
from packflow import Molecule, Template
from packflow.metrics import clash_percent, density
from packflow.structure import AtomsBatch
from packflow.structure.cif import cif_text


def main(smiles: str = "CC(=O)Oc1ccccc1C(=O)O", n_samples: int = 8, n_steps: int = 20) -> None:
    """Print a line per proposal, and the CIF of the one with the fewest clashes."""
    template = Template(Molecule.from_smiles(smiles), n_copies=4)
    proposals = packflow.sample(packflow.load(), template, n_samples, seed=0, config=packflow.SampleConfig(n_steps))
    crystals = [p.crystal for p in proposals if not p.problem]
    atoms = AtomsBatch.from_crystals(crystals)
    densities, clashes = density(atoms), clash_percent(atoms)
    for crystal, rho, clashing in zip(crystals, densities.tolist(), clashes.tolist(), strict=True):
        print(f"{rho:.2f} g/cm3, {clashing:3.0f} % clash, cell", *(f"{x:.1f}" for x in crystal.lattice))
    print(cif_text(crystals[int(clashes.argmin())], "fewest_clashes"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
