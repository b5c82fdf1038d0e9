"""Numbers that say how good a structure is (paper, section 4.3); docs/metrics.md has one line for each."""

from packflow.metrics.amd import amd, amd_distance
from packflow.metrics.bonds import bonds_valid, bonds_valid_percent
from packflow.metrics.clash import clash_percent
from packflow.metrics.contact import contact_f1
from packflow.metrics.density import density, density_error_percent
from packflow.metrics.packing_similarity import PackingSimilarities, PackingSimilarity, packing_similarities, packing_similarity
from packflow.metrics.pdd import pdd_distance
from packflow.metrics.rdf import rdf, rdf_distance
from packflow.metrics.table import compare, describe, summary
from packflow.metrics.validity import good, problems, valid_cell, volume

__all__ = [
    "PackingSimilarities",
    "PackingSimilarity",
    "amd",
    "amd_distance",
    "bonds_valid",
    "bonds_valid_percent",
    "clash_percent",
    "compare",
    "contact_f1",
    "density",
    "density_error_percent",
    "describe",
    "good",
    "packing_similarities",
    "packing_similarity",
    "pdd_distance",
    "problems",
    "rdf",
    "rdf_distance",
    "summary",
    "valid_cell",
    "volume",
]
