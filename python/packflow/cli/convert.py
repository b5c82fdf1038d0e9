"""`packflow convert`: weights of the authors' code, or our own, as one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import jsonargparse
import torch
from rich.console import Console
from safetensors import SafetensorError

from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.model.pretrained import load_with_origin, record_of
from packflow.model.training_record import TrainingRecord
from packflow.model.weights import Origin, save_model

SUFFIX, PARTIAL = ".safetensors", ".partial"


def convert_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow convert`."""
    parser = jsonargparse.ArgumentParser(description="Write a model as one safetensors file, with its licence and origin in the header.")
    parser.add_argument("source", type=str, help="name or path, as --model of `packflow sample`; .pt files of the authors' code too")
    parser.add_argument("out", type=str, help=f"{SUFFIX} file to write; must not exist")
    parser.add_argument(
        "--place-embedding", action="store_true", help="a .pt file whose training had positional embeddings on (the released ones: off)"
    )
    parser.add_argument("--half", action="store_true", help="store half precision; nothing is lost of weights that were stored so")
    parser.add_argument("--trained-on", type=str, default=None, help="folder of `packflow prepare`: its training molecules go on record")
    return parser


def run_convert(args: jsonargparse.Namespace) -> None:
    """`packflow convert`."""
    out = Path(args.out)
    check_out(out)
    model, origin = load_with_origin(args.source, args.place_embedding)
    record = recorded(args.source, args.trained_on)
    write(out, model, origin, record, torch.float16 if args.half else torch.float32)
    config = model.config
    n_parameters = sum(p.numel() for p in model.parameters())
    console = Console()
    console.print(
        f"{n_parameters:,} parameters: width {config.d_model}, {config.n_heads} heads, {config.n_layers} layers, "
        f"feed-forward {config.d_feedforward}",
        highlight=False,
    )
    if origin:
        console.print(f"origin: {origin.source}; licence: {origin.licence}", highlight=False)
    if record:
        parts = "" if record.complete else ", and others that are not known"
        console.print(f"trained on: {len(record.molecules):,} molecules of {len(record.families):,} families{parts}", highlight=False)
    console.print(f"written: {out}", highlight=False)


def recorded(source: str, trained_on: str | None) -> TrainingRecord | None:
    """What the weights say that they were trained on, with the training molecules of a dataset if one is given."""
    known = record_of(source)
    if trained_on is None:
        return known
    # training is a lot to load for the other conversions
    from packflow.data.dataset import CrystalDataset
    from packflow.train.seen import record_of_split

    own = record_of_split(CrystalDataset.open(trained_on))
    return own | known if known else own


def check_out(out: Path) -> None:
    """Refuse, before anything is read or fetched, a place where the file cannot go."""
    if out.suffix != SUFFIX:
        raise InputError(f"out must end in {SUFFIX}, got {out}")
    if out.exists():
        raise InputError(f"out must not exist, got {out}: remove it or give another name")
    if not out.parent.is_dir():
        raise InputError(f"out must be in a folder that exists, got {out}")


def write(out: Path, model: PackFlow, origin: Origin | None, record: TrainingRecord | None, dtype: torch.dtype) -> None:
    """The file appears only when it is complete."""
    partial = out.with_name(out.name + PARTIAL)
    try:
        save_model(partial, model, dtype=dtype, origin=origin, record=record)
        os.replace(partial, out)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"out {out} cannot be written ({error}): make room or give another place") from error
