"""Native operations on packed crystals: tensors in, tensors out."""

from packflow.ops.clash import clash

__all__ = ["clash"]
