"""What the limits of `packflow sample` let through: known crystals, and proposals of a model before and after replacement.

python bench/validity_limits.py DATASET [--model open-2m] [--split validation] [--n-samples 8] [--n-steps 50] [--budget 5]

Prints one JSON object for all crystals of the dataset and one for proposals of the split's molecules, both with the percentage that is
valid and that is flagged for each kind of reason.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence

import torch
from quality import references

import packflow
from packflow import Checks, Limits, SampleConfig
from packflow.data.dataset import CrystalDataset
from packflow.flow.acceptance import Tally
from packflow.flow.time_grid import LINEAR
from packflow.flow.validity import flags_of, kinds_of

AT_ONCE = 500


def shares(flags: Sequence[str]) -> dict[str, float]:
    """Percentage without a flag, and with each kind of reason."""
    kinds = Counter(kind for flag in flags for kind in kinds_of(flag))
    return {"valid": 100 * flags.count("") / len(flags), **{kind: 100 * n / len(flags) for kind, n in kinds.most_common()}}


def of_crystals(dataset: CrystalDataset, limits: Limits) -> dict[str, float]:
    """Known crystals."""
    flags: list[str] = []
    for first in range(0, len(dataset), AT_ONCE):
        flags += flags_of([dataset[i] for i in range(first, min(len(dataset), first + AT_ONCE))], limits)
    return {"crystals": len(flags), **shares(flags)}


def of_proposals(args: argparse.Namespace, dataset: CrystalDataset, limits: Limits) -> dict[str, float]:
    """Samples of a model, and what is left of the flags when flagged ones are replaced."""
    model, checks, config = packflow.load(args.model), Checks(limits, args.budget), SampleConfig(args.n_steps, "euler", LINEAR, LINEAR)
    began, proposals = time.perf_counter(), []
    for index in references(dataset, args.split):
        proposals += packflow.sample(model, dataset.template(index), args.n_samples, config=config, checks=checks)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    flags_of([p.crystal for p in proposals], limits)
    judging = time.perf_counter() - began
    first = [p.rejected[0] if p.attempt else p.flag for p in proposals]
    tally = Tally.of(proposals)
    line = {"proposals": len(proposals), "first samples": shares(first), "acceptance": tally.acceptance}
    per_sample = {"sampling_ms": 1e3 * seconds / tally.n_sampled, "judging_ms": 1e3 * judging / len(proposals)}
    return {**line, "valid after replacement": 100 - 100 * tally.n_flagged / tally.n_proposals, **per_sample}


def main() -> None:
    """Count both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--model", default="open-2m")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--n-samples", type=int, default=8)
    parser.add_argument("--n-steps", type=int, default=50)
    parser.add_argument("--budget", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset, limits = CrystalDataset.open(args.dataset), Limits()
    print(json.dumps(of_crystals(dataset, limits)), flush=True)
    print(json.dumps(of_proposals(args, dataset, limits)), flush=True)


if __name__ == "__main__":
    main()
