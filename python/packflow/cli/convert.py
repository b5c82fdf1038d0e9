"""`packflow convert`: weights of the authors' code, or our own, as one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import jsonargparse
from rich.console import Console
from safetensors import SafetensorError

from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.model.pretrained import load_with_origin
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
    return parser


def run_convert(args: jsonargparse.Namespace) -> None:
    """`packflow convert`."""
    out = Path(args.out)
    check_out(out)
    model, origin = load_with_origin(args.source, args.place_embedding)
    write(out, model, origin)
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
    console.print(f"written: {out}", highlight=False)


def check_out(out: Path) -> None:
    """Refuse, before anything is read or fetched, a place where the file cannot go."""
    if out.suffix != SUFFIX:
        raise InputError(f"out must end in {SUFFIX}, got {out}")
    if out.exists():
        raise InputError(f"out must not exist, got {out}: remove it or give another name")
    if not out.parent.is_dir():
        raise InputError(f"out must be in a folder that exists, got {out}")


def write(out: Path, model: PackFlow, origin: Origin | None) -> None:
    """The file appears only when it is complete."""
    partial = out.with_name(out.name + PARTIAL)
    try:
        save_model(partial, model, origin=origin)
        os.replace(partial, out)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"out {out} cannot be written ({error}): make room or give another place") from error
