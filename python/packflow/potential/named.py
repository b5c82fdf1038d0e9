"""Potentials by the names that the command line knows."""

from __future__ import annotations

import torch

from packflow.errors import InputError
from packflow.potential.interface import Potential

NAMES = ("mmff", "sevennet", "uma", "uma:MODEL_OR_FILE")


def potential_of(name: str, device: torch.device | str = "cpu") -> Potential:
    """The potential of a name.

    Args:
        name: "mmff"; "sevennet", SevenNet-0 with D3(BJ); "uma", the paper's uma-s-1p1; or "uma:" and the name or the checkpoint file of
            another UMA model.
        device: Where it computes; mmff computes where the coordinates are.

    Raises:
        InputError: there is no such name, or what the potential needs is not installed.
    """
    kind, colon, model = name.partition(":")
    if name == "mmff":
        from packflow.potential.mmff import Mmff

        return Mmff()
    if name == "sevennet":
        from packflow.potential.sevennet import SevenNet  # the extras of this and the next are imported by their constructors

        return SevenNet(device=device)
    if kind == "uma" and bool(colon) == bool(model):
        from packflow.potential.uma import MODEL, Uma

        return Uma(model or MODEL, device=device)
    raise InputError(f"potential must be one of {', '.join(NAMES)}, got {name!r}")
