"""How good proposals are: a model's samples for held-out molecules against their known crystals.

python bench/quality.py DATASET [--model open-2m] [--split test] [--n-samples 8] [--n-steps 50] [--max-molecules 1000]

For every molecule of the split one known crystal is the reference: an experimental one if there is one, else the first. Its
molecule and number of copies make the template. All numbers are means over a molecule's proposals, then over molecules; proposals
without a possible cell are counted and left out of the means. The AMD distance is that of the average-minimum-distance package.
Prints one JSON object per molecule and a last one with the means on standard output.
"""

import argparse
import json
import sys
import time

import amd
import numpy as np
import torch

import packflow
from packflow.data.dataset import CrystalDataset
from packflow.metrics import clash_percent, density
from packflow.model import PackFlow
from packflow.structure import Crystal, CrystalBatch
from packflow.structure.bonds import radii_of

K = 100
BOND_TOLERANCE = 0.4


def references(dataset: CrystalDataset, split: str) -> list[int]:
    """One crystal of each molecule of the split: experimental if there is one."""
    rows = dataset.indices(split)
    rows = sorted(rows, key=lambda i: (dataset.molecule_index[i], dataset.notes["kind"][i] != "experimental", i))
    return [i for k, i in enumerate(rows) if k == 0 or dataset.molecule_index[i] != dataset.molecule_index[rows[k - 1]]]


def amd_of(crystal: Crystal) -> np.ndarray:
    """Average minimum distances to the 100 nearest atoms."""
    return amd.AMD(amd.PeriodicSet(crystal.positions, crystal.cell), K)


def bonds_valid(crystal: Crystal) -> float:
    """Percentage of bonds within 0.4 Å of the sum of covalent radii (paper, eq. 40)."""
    i, j = crystal.template.bond_index
    radii = radii_of(crystal.template.atomic_numbers)
    lengths = np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1)
    return 100 * float(np.mean(np.abs(lengths - radii[i] - radii[j]) <= BOND_TOLERANCE)) if len(i) else 100.0


def score(model: PackFlow, reference: Crystal, n_samples: int, n_steps: int) -> dict[str, float | int | str]:
    """Means over the proposals of one template."""
    start = time.perf_counter()
    proposals = packflow.sample(model, reference.template, n_samples, n_steps=n_steps)
    seconds = time.perf_counter() - start
    crystals = [p.crystal for p in proposals if not p.problem]
    row = {"smiles": reference.template.molecule.smiles, "n_copies": reference.template.n_copies}
    row |= {"impossible": n_samples - len(crystals), "seconds_per_proposal": seconds / n_samples}
    if crystals:
        batch, target = CrystalBatch.pack(crystals), density(CrystalBatch.pack([reference])).item()
        errors = (density(batch) / target - 1).abs()
        distances = [np.abs(amd_of(c) - amd_of(reference)).max() for c in crystals]
        row |= {
            "density_error_percent": 100 * errors.mean().item(),
            "clash_percent": clash_percent(batch).mean().item(),
            "bonds_valid_percent": float(np.mean([bonds_valid(c) for c in crystals])),
            "amd_distance": float(np.mean(distances)),
            "amd_distance_best": float(np.min(distances)),
        }
    return row


def main() -> None:
    """Score a model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--model", default="open-2m")
    parser.add_argument("--split", default="test")
    parser.add_argument("--n-samples", type=int, default=8)
    parser.add_argument("--n-steps", type=int, default=50)
    parser.add_argument("--max-molecules", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, dataset = packflow.load(args.model), CrystalDataset.open(args.dataset)
    rows = []
    for index in references(dataset, args.split)[: args.max_molecules]:
        rows.append({"reference": str(dataset.name[index]), **score(model, dataset[index], args.n_samples, args.n_steps)})
        print(json.dumps(rows[-1]), flush=True)
    keys = ("density_error_percent", "clash_percent", "bonds_valid_percent", "amd_distance", "amd_distance_best", "seconds_per_proposal")
    means = {key: float(np.mean([row[key] for row in rows if key in row])) for key in keys}
    total = {"molecules": len(rows), "proposals": len(rows) * args.n_samples, "impossible": sum(row["impossible"] for row in rows)}
    print(json.dumps({**total, **means}))
    print({key: round(value, 3) for key, value in {**total, **means}.items()}, file=sys.stderr)


if __name__ == "__main__":
    main()
