"""What a crystal is: molecule, template, crystal, their batches and files. No kernels, no models."""

from packflow.structure.atoms import AtomsBatch
from packflow.structure.batch import CrystalBatch, TemplateBatch
from packflow.structure.crystal import Crystal
from packflow.structure.flow_space import FlowSpace
from packflow.structure.molecule import Molecule
from packflow.structure.template import Template

__all__ = ["AtomsBatch", "Crystal", "CrystalBatch", "FlowSpace", "Molecule", "Template", "TemplateBatch"]
