"""Energies, forces and stress of packed structures with all their atoms."""

from packflow.potential.differentiable import differentiable_energy
from packflow.potential.interface import Evaluation, Potential, Prepared
from packflow.potential.mmff import Mmff
from packflow.potential.named import potential_of

__all__ = ["Evaluation", "Mmff", "Potential", "Prepared", "differentiable_energy", "potential_of"]
