"""How many steps a sampler needs: metrics of proposals against known crystals for each solver and number of steps.

python bench/solver_quality.py DATASET [--split validation] [--n-samples 4] [--cases euler:50 ab2:20 ...]

Every case samples the same proposals from the same noise. Prints one JSON object per case on standard output.
"""

import argparse
import json

import pyarrow as pa
import torch
from quality import means, references, score

import packflow
from packflow import SampleConfig
from packflow.data.dataset import CrystalDataset

CASES = ["euler:100", "euler:50", "euler:20", "heun:10", "ab2:50", "ab2:20", "ab2:10", "multistep:20"]


def main() -> None:
    """Score every case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--model", default="open-2m")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--n-samples", type=int, default=4)
    parser.add_argument("--max-molecules", type=int, default=1000)
    parser.add_argument("--cases", nargs="*", default=CASES, help="solver:steps, then :bf16 for half precision")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, dataset = packflow.load(args.model), CrystalDataset.open(args.dataset)
    known = [dataset[index] for index in references(dataset, args.split)[: args.max_molecules]]
    for case in args.cases:
        solver, steps, *half = case.split(":")
        config = SampleConfig(int(steps), solver, precision="bf16" if half else "float32")
        tables = []
        for number, reference in enumerate(known):
            table = score(model, reference, args.n_samples, config)
            tables.append(table.set_column(table.column_names.index("reference"), "reference", pa.array([number] * len(table))))
        row = {
            "case": case,
            "evaluations": len(config.stages()),
            "molecules": len(known),
            **means(pa.concat_tables(tables), by="reference"),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
