"""Energies, forces and stress of packed structures with all their atoms."""

from packflow.potential.interface import Evaluation, Potential, Prepared
from packflow.potential.named import potential_of

__all__ = ["Evaluation", "Potential", "Prepared", "potential_of"]
