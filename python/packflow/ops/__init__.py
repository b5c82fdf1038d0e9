"""Native operations on packed crystals: tensors in, tensors out."""

from packflow.ops._crystals import problems
from packflow.ops.amd import amd, neighbor_radius, pdd
from packflow.ops.bond_attention import BondTable, bond_attention, bond_attention_qkv, bond_table
from packflow.ops.bonded import BondedResult, BondedTerms, bonded
from packflow.ops.clash import clash
from packflow.ops.ewald import Ewald, ewald
from packflow.ops.first_fit import first_fit
from packflow.ops.min_image import min_image
from packflow.ops.neighbors import NeighborList, neighbors
from packflow.ops.nonbonded import Nonbonded, nonbonded
from packflow.ops.nonbonded_pairs import NonbondedPairs
from packflow.ops.nonbonded_tail import nonbonded_tail
from packflow.ops.ode import ode
from packflow.ops.packing_similarity import MolecularPackings, MoleculeKinds, packing_similarity
from packflow.ops.pair_refinement import RefinementWeights, pair_refinement
from packflow.ops.rdf import rdf

__all__ = [
    "BondTable",
    "BondedResult",
    "BondedTerms",
    "Ewald",
    "MolecularPackings",
    "MoleculeKinds",
    "NeighborList",
    "Nonbonded",
    "NonbondedPairs",
    "RefinementWeights",
    "amd",
    "bond_attention",
    "bond_attention_qkv",
    "bond_table",
    "bonded",
    "clash",
    "ewald",
    "first_fit",
    "min_image",
    "neighbor_radius",
    "neighbors",
    "nonbonded",
    "nonbonded_tail",
    "ode",
    "packing_similarity",
    "pair_refinement",
    "pdd",
    "problems",
    "rdf",
]
