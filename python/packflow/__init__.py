"""Molecular crystal structure prediction by flow matching.

The names stand in the order of the flow: a SMILES becomes a Molecule, n_copies of it a Template, `sample` makes proposals of it,
each a Crystal; `predict` goes on to relaxed and ranked ones.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packflow.data.dataset import CrystalDataset
    from packflow.data.prepare import prepare
    from packflow.errors import InputError
    from packflow.flow.acceptance import Checks
    from packflow.flow.sampler import Proposal, SampleConfig, sample
    from packflow.flow.validity import Limits
    from packflow.model.pretrained import load
    from packflow.pipeline.prediction import predict
    from packflow.structure import Crystal, CrystalBatch, Molecule, Template, TemplateBatch

# name -> module that it comes from; loaded at first use, so that `import packflow` is fast
_PUBLIC = {
    "Molecule": "packflow.structure",
    "Template": "packflow.structure",
    "Crystal": "packflow.structure",
    "TemplateBatch": "packflow.structure",
    "CrystalBatch": "packflow.structure",
    "prepare": "packflow.data.prepare",
    "CrystalDataset": "packflow.data.dataset",
    "load": "packflow.model.pretrained",
    "sample": "packflow.flow.sampler",
    "predict": "packflow.pipeline.prediction",
    "SampleConfig": "packflow.flow.sampler",
    "Proposal": "packflow.flow.sampler",
    "Checks": "packflow.flow.acceptance",
    "Limits": "packflow.flow.validity",
    "InputError": "packflow.errors",
}

__all__ = [
    "Checks",
    "Crystal",
    "CrystalBatch",
    "CrystalDataset",
    "InputError",
    "Limits",
    "Molecule",
    "Proposal",
    "SampleConfig",
    "Template",
    "TemplateBatch",
    "load",
    "predict",
    "prepare",
    "sample",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'packflow' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)
