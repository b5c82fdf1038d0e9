"""Energies, forces and stress of packed structures with all their atoms."""

from packflow.potential.interface import Evaluation, Potential, Prepared

__all__ = ["Evaluation", "Potential", "Prepared"]
