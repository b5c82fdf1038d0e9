"""Align the installed model with energies and forces of what it samples, for a moment: seconds on a CPU.

    python examples/03_align.py [FOLDER_OF_CIF_FILES]

Without a folder it takes the templates of the few open crystals of the test suite. The command line does the same for a real run:

    packflow prepare FOLDER crystals
    packflow align --recipe align-2m --data crystals --out run
"""

import csv
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import packflow
from packflow.data.prepare import PrepareConfig
from packflow.train import align, align_recipe_named

TEST_CRYSTALS = Path(__file__).parents[1] / "tests" / "data" / "cif"


def main() -> None:
    """Prepare, align, show what the iterations tell."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else TEST_CRYSTALS
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "crystals", Path(folder) / "run"
        table = source / "table.csv"
        packflow.prepare(source, data, PrepareConfig(fractions=(0.8, 0.1, 0.1)), table if table.is_file() else None)
        config = replace(align_recipe_named("align-tiny"), n_steps=3, max_template_atoms=100)
        result = align(config, packflow.CrystalDataset.open(data), out)
        with (out / "metrics.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["energy"]:
                    print(f"iteration {row['step']}: {row['energy']} eV per heavy atom, {row['force']} eV/Å, {row['clash']} % clash")
        print(f"aligned weights, for packflow.load or packflow sample --model: {result.checkpoint}")


if __name__ == "__main__":
    main()
