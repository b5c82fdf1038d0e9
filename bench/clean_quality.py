"""What a clean-up does to proposals: metrics against known crystals before and after it, and its time against that of sampling.

python bench/clean_quality.py DATASET [--split validation] [--n-samples 4] [--case multistep:20]

References as in quality.py, and the model "random" too. Prints one JSON object each for proposals as sampled, the same cleaned, and the
known crystals cleaned as if they were proposals; means over a molecule's proposals, then over molecules.
"""

import argparse
import json
import time
from collections.abc import Sequence

import torch
from quality import means, references
from random_cells import random_crystal

import packflow
from packflow import SampleConfig
from packflow.data.dataset import CrystalDataset
from packflow.flow.draws import draws_of
from packflow.flow.sampler import sample_batches
from packflow.flow.time_grid import LINEAR
from packflow.metrics import compare
from packflow.relax.clean import clean_crystals
from packflow.relax.clean_report import CleanReport
from packflow.structure import AtomsBatch, Crystal


def done(report: CleanReport) -> dict[str, float]:
    """What was done, over all crystals."""
    changed = report.changed
    return {
        "unchanged_percent": 100 * float((~changed).double().mean()),
        "unfinished_percent": 100 * float((~report.finished).double().mean()),
        "problems": sum(bool(p) for p in report.problems),
        "displacement_of_changed": float(report.displacement[changed].mean()),
        "volume_change_percent": float(report.volume_percent.abs().mean()),
    }


def scores(crystals: Sequence[Crystal], known: Sequence[Crystal], n_samples: int) -> dict[str, float | int]:
    """Means of the metrics; n_samples crystals for each known one, in its order."""
    reference_of = torch.arange(len(known)).repeat_interleave(n_samples)
    return means(compare(AtomsBatch.from_crystals(crystals), AtomsBatch.from_crystals(known), reference_of), by="reference")


def proposals(name: str, known: Sequence[Crystal], n_samples: int, case: str) -> list[Crystal]:
    """n_samples for each known crystal, in its order."""
    if name == "random":
        return [random_crystal(crystal, seed) for crystal in known for seed in range(n_samples)]
    solver, steps = case.split(":")
    draws = [draw for crystal in known for draw in draws_of(crystal.template, n_samples, seed=0)]
    batches = sample_batches(packflow.load(name), draws, SampleConfig(int(steps), solver, LINEAR, LINEAR))
    return [proposal.crystal for batch in batches for proposal in batch]


def main() -> None:
    """Score proposals, then clean and score them again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--model", default="open-2m")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--n-samples", type=int, default=4)
    parser.add_argument("--max-molecules", type=int, default=1000)
    parser.add_argument("--case", default="multistep:20", help="solver:steps")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = CrystalDataset.open(args.dataset)
    known = [dataset[index] for index in references(dataset, args.split)[: args.max_molecules]]
    start = time.perf_counter()
    sampled = proposals(args.model, known, args.n_samples, args.case)
    between = time.perf_counter()
    cleaned, report = clean_crystals(sampled)
    seconds = (between - start) / len(sampled), (time.perf_counter() - between) / len(sampled)
    print(json.dumps({"case": "sampled", "seconds": seconds[0], **scores(sampled, known, args.n_samples)}), flush=True)
    found = {"seconds": seconds[1], "seconds_over_sampling": seconds[1] / seconds[0], **done(report)}
    print(json.dumps({"case": "cleaned", **found, **scores(cleaned, known, args.n_samples)}), flush=True)
    same, report = clean_crystals(known)
    print(json.dumps({"case": "known, cleaned", **done(report), **scores(same, known, 1)}), flush=True)


if __name__ == "__main__":
    main()
