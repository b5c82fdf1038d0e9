"""What is done with many proposals together: which of them are the same crystal."""

from packflow.ops.amd_groups import DuplicateGroups, amd_groups
from packflow.rank.duplicates import duplicates

__all__ = ["DuplicateGroups", "amd_groups", "duplicates"]
