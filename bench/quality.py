"""How good proposals are: a model's samples for held-out molecules against their known crystals.

python bench/quality.py DATASET [--model open-2m] [--split test] [--kind experimental] [--n-samples 20] [--n-steps 50]

For every molecule of the split one known crystal is the reference: an experimental one if there is one, else the first. Its
molecule and number of copies make the template. With --kind experimental only molecules with a measured crystal count. The model
"random" is no model: molecules at random in a cell of the reference's volume, see random_cells.py. All numbers are means over a
molecule's proposals, then over molecules; proposals that are no crystal are counted as failed and are in no mean but that of the
seconds.
Prints one JSON object per molecule and a last one with the means on standard output.
"""

import argparse
import json
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from random_cells import random_crystal

import packflow
from packflow.data.dataset import CrystalDataset
from packflow.flow.sampler import SampleConfig
from packflow.flow.time_grid import LINEAR
from packflow.metrics import compare, summary
from packflow.model import PackFlow
from packflow.structure import AtomsBatch, Crystal


def references(dataset: CrystalDataset, split: str, kind: str = "any") -> list[int]:
    """One crystal of each molecule of the split: experimental if there is one; of one kind alone if it is named."""
    rows = [i for i in dataset.indices(split) if kind in ("any", dataset.notes["kind"][i])]
    rows = sorted(rows, key=lambda i: (dataset.molecule_index[i], dataset.notes["kind"][i] != "experimental", i))
    return [i for k, i in enumerate(rows) if k == 0 or dataset.molecule_index[i] != dataset.molecule_index[rows[k - 1]]]


def score(model: PackFlow | None, reference: Crystal, n_samples: int, config: SampleConfig) -> pa.Table:
    """The proposals of one template against its known crystal; random cells without a model."""
    start = time.perf_counter()
    if model is None:
        crystals = [random_crystal(reference, seed) for seed in range(n_samples)]
    else:
        crystals = [p.crystal for p in packflow.sample(model, reference.template, n_samples, config=config)]
    seconds = (time.perf_counter() - start) / n_samples
    predictions = AtomsBatch.from_crystals(crystals)
    reference_of = torch.zeros(n_samples, dtype=torch.int64)
    return compare(predictions, AtomsBatch.from_crystals([reference]), reference_of, seconds=seconds)


def means(table: pa.Table, by: str | None = None) -> dict[str, float | int]:
    """Means of the metrics and the best AMD distance, with what is missing in them."""
    rows = summary(table, by).to_pylist()
    missing = {f"{row['metric']}_missing": row["n_missing"] for row in rows if row["n_missing"]}
    return {"failed": rows[0]["n_failed"], **{row["metric"]: row["mean"] for row in rows}, **missing}


def best(table: pa.Table) -> float | None:
    """Smallest AMD distance of the proposals that did not fail."""
    return pc.min(table.filter(pc.equal(table["problem"], ""))["amd_distance"]).as_py()


def main() -> None:
    """Score a model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("--model", default="open-2m")
    parser.add_argument("--split", default="test")
    parser.add_argument("--kind", default="any", choices=("any", "experimental", "computed"))
    parser.add_argument("--n-samples", type=int, default=20)
    parser.add_argument("--n-steps", type=int, default=50)
    parser.add_argument("--solver", default="euler")
    parser.add_argument("--max-molecules", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, dataset = None if args.model == "random" else packflow.load(args.model), CrystalDataset.open(args.dataset)
    config = SampleConfig(args.n_steps, args.solver, LINEAR, LINEAR)
    tables, bests = [], []
    for number, index in enumerate(references(dataset, args.split, args.kind)[: args.max_molecules]):
        reference = dataset[index]
        table = score(model, reference, args.n_samples, config)
        tables.append(table.set_column(table.column_names.index("reference"), "reference", pa.array([number] * len(table))))
        bests.append(best(table))
        row = {"reference": str(dataset.name[index]), "smiles": reference.template.molecule.smiles, "n_copies": reference.template.n_copies}
        print(json.dumps({**row, **means(table), "amd_distance_best": bests[-1]}), flush=True)
    found = [x for x in bests if x is not None]
    total = {"molecules": len(tables), "proposals": len(tables) * args.n_samples, **means(pa.concat_tables(tables), by="reference")}
    total |= {"amd_distance_best": float(np.mean(found)) if found else None, "molecules_without_proposal": len(bests) - len(found)}
    print(json.dumps(total))
    print({key: round(value, 3) for key, value in total.items() if value is not None}, file=sys.stderr)


if __name__ == "__main__":
    main()
