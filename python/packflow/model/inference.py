"""The transformer evaluated without gradients: the same numbers as `Encoder`, with fewer passes over memory.

The residual stream is summed in place, by the matrix products themselves where they can, and the feed-forward part's product applies its
GELU while the result is in cache. On the CPU that is oneDNN's fused product, on a GPU cuBLASLt's; where torch has neither, plain functions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from packflow.model.packflow import PackFlow
from packflow.model.transformer import Encoder, EncoderLayer
from packflow.ops import BondTable, bond_attention_qkv


def for_inference(model: PackFlow, dtype: torch.dtype = torch.float32) -> PackFlow:
    """The same network for use under `torch.no_grad` or `torch.inference_mode`; shares the weights as they are now.

    Args:
        model: On the device where it will be used.
        dtype: Of the matrix products inside the encoder, float32 or bfloat16; all else is as the caller's autocast has it.

    Returns:
        A model that must not be trained; its weights are `model`'s, those of bfloat16 copies.
    """
    fast = copy.copy(model)
    fast._modules = {**model._modules, "encoder": InferenceEncoder(model.encoder, dtype)}
    return fast


@dataclass(frozen=True)
class Product:
    """A linear layer's weight [n_out, n_in] and bias [n_out] in the precision of its product."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layer: nn.Linear, dtype: torch.dtype) -> Product:
        """From a layer that has a bias."""
        return cls(layer.weight.detach().to(dtype), layer.bias.detach().to(dtype))

    def __call__(self, x: Tensor) -> Tensor:
        """[n, n_in] -> [n, n_out]"""
        return linear(x, self.weight, self.bias)

    def then_gelu(self, x: Tensor) -> Tensor:
        """GELU, by its tanh formula, of the product. [n, n_in] -> [n, n_out]"""
        if x.is_cuda:
            activated: Tensor = torch._addmm_activation(self.bias, x, self.weight.T, use_gelu=True)
            return activated
        if has_fused_product():
            fused: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "gelu", [], "tanh")
            return fused
        return gelu(self(x), approximate="tanh")

    def add_to(self, residual: Tensor, x: Tensor) -> None:
        """residual += product, in place. [n, n_out], [n, n_in]"""
        if residual.dtype == self.weight.dtype:
            residual.add_(self.bias).addmm_(x, self.weight.T)
        else:
            residual.add_(self(x))


def has_fused_product() -> bool:
    """Whether this torch has oneDNN's product with a function of its result."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class InferenceEncoder(nn.Module):
    """An `Encoder` for evaluation alone."""

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        """The weights of an encoder as they are now, in the precision of the products."""
        super().__init__()
        self.dtype, self.norm = dtype, encoder.norm
        self.layers = [InferenceLayer(layer, dtype) for layer in encoder.layers]  # type: ignore[arg-type]

    def forward(self, x: Tensor, edge_bias: Tensor, atom_ptr: Tensor, bonds: BondTable) -> Tensor:
        """As `Encoder.forward`, in float32."""
        with torch.autocast(x.device.type, enabled=False):
            residual = x.float() if x.dtype != torch.float32 else x.clone()
            for layer in self.layers:
                layer.add_to(residual, edge_bias, atom_ptr, bonds)
            return self.norm(residual)


class InferenceLayer:
    """One layer: attention and feed-forward, each added to the residual stream."""

    def __init__(self, layer: EncoderLayer, dtype: torch.dtype) -> None:
        """The weights of a layer."""
        self.dtype, self.n_heads = dtype, layer.n_heads
        self.norm_attention, self.norm_feedforward = layer.norm_attention, layer.norm_feedforward
        self.attention_in, self.attention_out = Product.of(layer.attention_in, dtype), Product.of(layer.attention_out, dtype)
        self.feedforward_in, self.feedforward_out = Product.of(layer.feedforward_in, dtype), Product.of(layer.feedforward_out, dtype)

    def add_to(self, residual: Tensor, edge_bias: Tensor, atom_ptr: Tensor, bonds: BondTable) -> None:
        """residual [n_atoms, d_model] float32, in place; the others as for `Encoder.forward`."""
        qkv = self.attention_in(self.norm_attention(residual).to(self.dtype)).unflatten(1, (3, self.n_heads, -1))
        self.attention_out.add_to(residual, bond_attention_qkv(qkv, edge_bias, atom_ptr, bonds).flatten(1))
        self.feedforward_out.add_to(residual, self.feedforward_in.then_gelu(self.norm_feedforward(residual).to(self.dtype)))
