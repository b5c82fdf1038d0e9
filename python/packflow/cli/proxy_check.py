"""`packflow align proxy-check`: whether the rewards of an alignment order proposals as a costlier evaluation does."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import jsonargparse
import numpy as np
from rich.console import Console
from rich.table import Table

from packflow.cli.sample import add_solver_arguments, config_of, device_of, set_threads
from packflow.data.dataset import CrystalDataset
from packflow.errors import InputError
from packflow.model.pretrained import load
from packflow.potential.named import potential_of
from packflow.structure import Template
from packflow.train.proxy_check import ProxyCheck, Scorer, proxy_check

# alignment and sign agreement of UMA without hydrogens, by lambda (paper, eqs. 35 to 37)
PAPER = {0.0: (0.908, 0.883), 0.5: (0.872, 0.855), 1.0: (0.793, 0.813)}
PROXIES = ("riding", "united", "none")
SUFFIXES = (".csv", ".json")


def proxy_check_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow align proxy-check`."""
    parser = jsonargparse.ArgumentParser(description="Compare advantages by cheap rewards with those after hydrogens are relaxed.")
    parser.add_argument("--data", type=str, required=True, help="dataset folder of packflow prepare")
    parser.add_argument("--split", type=str, default="test", help="of the dataset: train, validation or test")
    parser.add_argument("--n-templates", type=int, default=90, help="groups, of different molecules first; fewer if the split has fewer")
    parser.add_argument("--n-samples", type=int, default=20, help="proposals of each group")
    parser.add_argument("--max-crystal", type=int, default=150, help="heavy atoms per cell of the templates, at most")
    parser.add_argument("--model", type=str, default="open-2m", help="name of installed or released weights, or a path")
    parser.add_argument("--potential", type=str, default="mmff", help="mmff, sevennet, uma or uma:MODEL_OR_FILE, of both evaluations")
    parser.add_argument("--proxy", type=str, default="riding", help="what the proxy does about hydrogens: riding, united or none")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of templates and of the proposals")
    parser.add_argument("--out", type=str, default=None, help="file for the result, .csv (the table) or .json (with all scores)")
    parser.add_argument("--max-atoms", type=int, default=None, help="atoms sampled at once; as many as suit the device if not given")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    add_solver_arguments(parser)
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda, of the network; scores are computed on the CPU")
    return parser


def run_proxy_check(args: jsonargparse.Namespace) -> None:
    """`packflow align proxy-check`."""
    if args.proxy not in PROXIES:
        raise InputError(f"proxy must be one of {', '.join(PROXIES)}, got {args.proxy!r}")
    if args.out is not None and Path(args.out).suffix not in SUFFIXES:
        raise InputError(f"out must end in {' or '.join(SUFFIXES)}, got {args.out!r}")
    set_threads(args.threads)
    config, potential = config_of(args), potential_of(args.potential, args.device)
    templates = templates_of(CrystalDataset.open(args.data), args.split, args.n_templates, args.seed, args.max_crystal)
    model = load(args.model).to(device_of(args.device))
    proxy, full = Scorer(potential, args.proxy), Scorer(potential, "relaxed")
    console = Console()
    with console.status("sampling and scoring", spinner="line"):
        check = proxy_check(model, templates, args.n_samples, args.seed, config, proxy, full, max_atoms=args.max_atoms)
    console.print(table_of(check, f"{args.potential}, hydrogens {args.proxy} against relaxed"))
    failed = " and ".join(str(n) for n in check.n_failed())
    console.print(
        f"{len(templates)} groups of {args.n_samples}; {failed} proposals without a score; "
        f"{check.proxy_seconds:.1f} s and {check.full_seconds:.1f} s of scoring",
        highlight=False,
    )
    if args.out is not None:
        write(check, Path(args.out))


def templates_of(dataset: CrystalDataset, split: str, n_templates: int, seed: int, max_crystal: int) -> list[Template]:
    """Templates of crystals of a split in random order: one of each molecule, then further numbers of copies of the same molecules.

    Args:
        dataset: Crystals.
        split: Of them.
        n_templates: At most.
        seed: Of the order.
        max_crystal: Heavy atoms per cell, at most.

    Raises:
        InputError: n_templates is below 1, or the split has no such crystals.
    """
    if n_templates < 1:
        raise InputError(f"n-templates must be at least 1, got {n_templates}")
    rows = np.random.default_rng(seed).permutation(dataset.indices(split))
    rows = rows[dataset.n_atoms[rows] <= max_crystal]
    if not len(rows):
        raise InputError(f"split must have crystals of at most {max_crystal} heavy atoms, got none in {split!r}")
    seen: dict[int, set[int]] = {}
    new: list[int] = []
    further: list[int] = []
    for row in rows.tolist():
        copies = seen.setdefault(int(dataset.molecule_index[row]), set())
        if (n := int(dataset.n_copies[row])) not in copies:
            (further if copies else new).append(row)
            copies.add(n)
    return [dataset.template(row) for row in (new + further)[:n_templates]]


def table_of(check: ProxyCheck, title: str) -> Table:
    """A row for each lambda, with the paper's numbers where it has any."""
    table = Table("λ", "AVA", "paper", "sign agreement", "paper", "groups", "skipped", title=title)
    for row in check.agreements:
        alignment, sign = (f"{number:.3f}" for number in PAPER[row.weight]) if row.weight in PAPER else ("", "")
        table.add_row(
            f"{row.weight:g}",
            f"{row.alignment:.3f} ± {row.alignment_error:.3f}",
            alignment,
            f"{row.sign:.3f} ± {row.sign_error:.3f}",
            sign,
            str(row.n_groups),
            str(row.n_skipped),
        )
    return table


def write(check: ProxyCheck, path: Path) -> None:
    """The table as CSV; or as JSON with the rewards of all proposals, null where there is none."""
    rows = [asdict(row) for row in check.agreements]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return
    rewards = {
        name: [[[x if np.isfinite(x) else None for x in one] for one in group] for group in values.tolist()]
        for name, values in (("proxy", check.proxy), ("full", check.full))
    }
    seconds = {"proxy_seconds": check.proxy_seconds, "full_seconds": check.full_seconds}
    path.write_text(json.dumps({"agreements": rows, **seconds, **rewards}, indent=1) + "\n", encoding="utf-8")
