"""Checkpoints of the authors' released code: read without running what is in them, and made into a PackFlow."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.model.packflow import ModelConfig, PackFlow
from packflow.model.weights import check_names, load_weights

STATE = "model_state_dict"
# Sizes that the file states beside the tensors, by our name.
STATED_SIZES = {"d_model": "d_model", "n_heads": "nhead", "d_feedforward": "dim_feedforward", "n_layers": "num_layers"}
# What torch.load raises for bytes that make no sense, found by changing bytes at random.
NONSENSE = (RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, AssertionError, struct.error)

# Our modules -> theirs.
MODULES = {
    "embed_positions": "cart_coords_embedder",
    "embed_atoms": "_node_feat_mlp",
    "embed_lattice": "lattice_embedder",
    "embed_t_positions.mlp": "time_cart_embedder",
    "embed_t_lattice.mlp": "time_lattice_embedder",
    "bond_bias": "attn_bias_builder.edge_to_headlogits",
    "encoder": "transformer",
    "head_positions": "cart_coords_output_head",
    "head_lattice": "lattice_output_head",
}
LAYER_PARTS = {
    "attention_in.": "mha.in_proj_",
    "attention_out": "mha.out_proj",
    "feedforward_in": "linear1",
    "feedforward_out": "linear2",
    "norm_attention": "norm1",
    "norm_feedforward": "norm2",
}
# Without a counterpart here: a bias of a whole head, which cancels in the softmax, and the factor of all bond biases, which
# goes into the last layer of `bond_bias`.
HEAD_BIAS, BIAS_SCALE = "attn_bias_builder.head_bias_base", "attn_bias_scale"


def load_official(file: Path, place_embedding: bool = False) -> PackFlow:
    """A model with the weights of a checkpoint of the released code, computing what that code does.

    Args:
        file: Written by their trainer with torch.save.
        place_embedding: The weights were trained with positional embeddings, which leaves no trace in the file; those that
            were released are run without.

    Returns:
        The model in evaluation mode, in float32, on the CPU.

    Raises:
        InputError: the file holds pickled code, is damaged or no such checkpoint, or misses a tensor or has one too many or
            of another shape.
    """
    checkpoint = read_checkpoint(file)
    state = state_of(checkpoint, file)
    config = infer_config(state, file, place_embedding)
    check_stated_sizes(config, checkpoint.get("model_config"), file)
    with torch.random.fork_rng(devices=[]):  # the initial weights are replaced: leave the caller's random state alone
        model = PackFlow(config)
    load_weights(model, our_tensors(state, model, file), file)
    return model.eval()


def our_tensors(state: Mapping[str, Tensor], model: PackFlow, file: Path) -> dict[str, Tensor]:
    """The tensors by our names; every one of theirs must be there, and no other."""
    expected = model.state_dict()
    theirs = {official_name(name): value for name, value in expected.items()}
    check_names({**theirs, HEAD_BIAS: torch.zeros(model.config.n_heads), BIAS_SCALE: torch.tensor(1.0)}, state, file)
    tensors = {name: state[official_name(name)] for name in expected}
    for name in ("bond_bias.2.weight", "bond_bias.2.bias"):
        tensors[name] = tensors[name] * state[BIAS_SCALE]
    return tensors


def read_checkpoint(file: Path) -> Mapping[str, Any]:
    """The dictionary that torch.save wrote, made of tensors and plain values only."""
    try:
        intact = intact_archive(file)
        checkpoint = torch.load(file, map_location="cpu", weights_only=True) if intact else None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"pickled code ({found[1]})" if found else "pickled code or damaged data"
        raise InputError(f"{file} contains {what} and is refused: give a file of tensors and plain values only") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): give a checkpoint file") from error
    except NONSENSE:
        intact = False
    if not intact:
        raise InputError(f"{file} is damaged or no archive of torch.save (a bare pickle is never run): copy it again")
    if not isinstance(checkpoint, dict):
        raise InputError(f"{file} must hold a dictionary with {STATE!r}, got a {type(checkpoint).__name__}")
    return checkpoint


def intact_archive(file: Path) -> bool:
    """Whether it is a zip archive whose checksums are right; torch does not compare them."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError):
        return False


def state_of(checkpoint: Mapping[str, Any], file: Path) -> dict[str, Tensor]:
    """The tensors of the model by their official names."""
    state = checkpoint.get(STATE)
    if not isinstance(state, Mapping) or not state:
        got = f"a {type(state).__name__}" if state else f"nothing there but {len(checkpoint.keys() - {STATE})} other entries"
        raise InputError(f"{file} must hold the model's tensors under {STATE!r}, got {got}")
    # distributed training prefixes every name
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise InputError(f"{file} must hold tensors under {STATE!r}, got a {type(value).__name__} for {name}")
    return named


def infer_config(state: Mapping[str, Tensor], file: Path, place_embedding: bool) -> ModelConfig:
    """Sizes from the shapes of tensors; what leaves no trace there is as the released code runs its released weights."""

    def rows(name: str) -> int:
        if name not in state:
            raise InputError(f"{file} misses {name}: it is no checkpoint of a released PackFlow architecture")
        if state[name].ndim == 0:
            raise InputError(f"{file} has {name} of shape (), wanted one with rows")
        return state[name].shape[0]

    layers = {found[1] for name in state if (found := re.match(r"transformer\.layers\.(\d+)\.", name))}
    d_model, n_heads = rows("cart_coords_embedder.0.weight"), rows(HEAD_BIAS)
    d_feedforward = rows("transformer.layers.0.linear1.weight")
    try:
        return ModelConfig(d_model, n_heads, d_feedforward, len(layers), compat=True, place_embedding=place_embedding)
    except InputError as error:
        raise InputError(f"{file} has tensors of sizes that cannot be: {error}") from error


def check_stated_sizes(config: ModelConfig, stated: object, file: Path) -> None:
    """Refuse a file whose configuration contradicts its tensors."""
    if not isinstance(stated, Mapping):
        return
    for ours, theirs in STATED_SIZES.items():
        if theirs in stated and stated[theirs] != getattr(config, ours):
            raise InputError(f"{file} states {theirs} {stated[theirs]}, but its tensors have {getattr(config, ours)}: it is damaged")


def official_name(name: str) -> str:
    """Their name of one of our tensors."""
    ours = next(module for module in MODULES if name.startswith(f"{module}."))
    name = MODULES[ours] + name.removeprefix(ours)
    for part, theirs in LAYER_PARTS.items():
        name = name.replace(f".{part}", f".{theirs}")
    return name
