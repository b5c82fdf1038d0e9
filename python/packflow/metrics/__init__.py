"""Numbers that say how good a crystal is (paper, section 4.3)."""

from packflow.metrics.clash import clash_percent
from packflow.metrics.density import density
from packflow.metrics.packing_similarity import PackingSimilarities, PackingSimilarity, packing_similarities, packing_similarity

__all__ = ["PackingSimilarities", "PackingSimilarity", "clash_percent", "density", "packing_similarities", "packing_similarity"]
