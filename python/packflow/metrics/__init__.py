"""Numbers that say how good a crystal is (paper, section 4.3)."""

from packflow.metrics.clash import clash_percent
from packflow.metrics.density import density

__all__ = ["clash_percent", "density"]
