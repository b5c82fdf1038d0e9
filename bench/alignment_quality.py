"""What alignment does to proposals: models on the same held-out molecules, from the same noise, at the same cost.

python bench/alignment_quality.py DATASET --model open-2m --model packflow-open-pa [--split test] [--n-samples 20] [--coverage 100]

Energies and forces are those of the rewards, MMFF94s with riding hydrogens, heavy atoms' share; medians over a template's proposals,
then means over templates, since one crushed crystal would decide a mean. All other numbers are means over a template's proposals, then
over templates, as in quality.py. With --coverage N, N proposals of each measured molecule are sampled as well: how many packings they are
(`packflow.rank.duplicates`), the smallest AMD distance to the measured crystal, and how many molecules of 15 the best overlays.
Prints one JSON object per model on standard output.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
from quality import references

import packflow
from packflow.data.dataset import CrystalDataset
from packflow.flow.draws import Draw
from packflow.flow.sampler import SampleConfig, sample_batches
from packflow.metrics import compare, summary
from packflow.metrics.packing_similarity import packing_similarities
from packflow.model import PackFlow
from packflow.potential import Mmff
from packflow.rank.duplicates import duplicates
from packflow.structure import AtomsBatch, Crystal
from packflow.train.rewards import rewards_of

METRICS = ("density_error_percent", "clash_percent", "clash_nonbonded_percent", "bonds_valid_percent", "amd_distance", "rdf_distance")
METRICS = (*METRICS, "rdf_distance_short", "contact_f1")


def sampled(model: PackFlow, known: list[Crystal], n_samples: int, seed: int) -> tuple[list[Crystal], float]:
    """Proposals, template by template, and the seconds that each took."""
    draws = [Draw(crystal.template, k, seed) for crystal in known for k in range(n_samples)]
    start = time.perf_counter()
    crystals = [p.crystal for batch in sample_batches(model, draws, SampleConfig()) for p in batch]
    return crystals, (time.perf_counter() - start) / len(crystals)


def scores(model: PackFlow, known: list[Crystal], n_samples: int, seed: int) -> dict[str, float]:
    """Means over templates."""
    crystals, seconds = sampled(model, known, n_samples, seed)
    of = torch.arange(len(known)).repeat_interleave(n_samples)
    table = compare(AtomsBatch.from_crystals(crystals), AtomsBatch.from_crystals(known), of)
    means = {row["metric"]: row["mean"] for row in summary(table, by="reference").to_pylist()}
    parts = [crystals[k : k + 256] for k in range(0, len(crystals), 256)]
    values = -torch.cat([rewards_of(part, Mmff()).values for part in parts]).view(len(known), n_samples, 2).numpy()
    some = ~np.isnan(values).all(1).any(1)
    energy, force = np.nanmedian(values[some], 1).mean(0)
    best = table["amd_distance"].to_numpy(zero_copy_only=False).reshape(len(known), -1)
    own = {"energy": energy, "force": force, "without_energy_percent": 100 * np.isnan(values[..., 0]).mean()}
    return {**own, **{name: means[name] for name in METRICS}, "amd_best": np.nanmin(best, 1).mean(), "seconds_per_proposal": seconds}


def coverage(model: PackFlow, known: list[Crystal], n_samples: int, seed: int) -> dict[str, float]:
    """How much of the ground proposals cover, means over molecules."""
    crystals, _ = sampled(model, known, n_samples, seed)
    packings, amds, matched, solved = [], [], [], []
    for k, reference in enumerate(known):
        own = crystals[k * n_samples : (k + 1) * n_samples]
        atoms = AtomsBatch.from_crystals(own)
        packings.append(len(duplicates(atoms, tolerance=0.05, pdd_tolerance=0.1).representative))
        table = compare(atoms, AtomsBatch.from_crystals([reference]), torch.zeros(n_samples, dtype=torch.int64))
        amds.append(np.nanmin(table["amd_distance"].to_numpy(zero_copy_only=False)))
        pairs = torch.stack([torch.zeros(n_samples, dtype=torch.int64), torch.arange(1, n_samples + 1)], 1)
        found = packing_similarities([reference, *own], pairs)
        clash_free = table["clash_percent"].to_numpy(zero_copy_only=False) == 0
        n_matched = np.nan_to_num(found.n_matched.double().numpy())
        matched.append(n_matched.max())
        solved.append(float((n_matched[clash_free] >= 8).any()))
    shares = {
        "packings": np.mean(packings),
        "amd_best": np.mean(amds),
        "matched_of_15": np.mean(matched),
        "solved_percent": 100 * np.mean(solved),
    }
    return {f"coverage_{name}": float(value) for name, value in shares.items()}


def main() -> None:
    """Score models."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--n-samples", type=int, default=20)
    parser.add_argument("--coverage", type=int, default=0)
    parser.add_argument("--max-molecules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = CrystalDataset.open(args.dataset)
    known = [dataset[i] for i in references(dataset, args.split)][: args.max_molecules]
    measured = [dataset[i] for i in references(dataset, args.split, "experimental")]
    for name in args.model:
        model = packflow.load(name)
        row = {"model": name, "split": args.split, "molecules": len(known), **scores(model, known, args.n_samples, args.seed)}
        if args.coverage:
            row |= {"measured": len(measured), **coverage(model, measured, args.coverage, args.seed)}
        print(json.dumps({key: round(float(v), 5) if not isinstance(v, (str, int)) else v for key, v in row.items()}), flush=True)
        print({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}, file=sys.stderr)


if __name__ == "__main__":
    main()
