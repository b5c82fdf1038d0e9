"""What is done with many proposals together: which are the same crystal, and which are the most stable."""

from packflow.ops.amd_groups import DuplicateGroups, amd_groups
from packflow.rank.checks import Candidate
from packflow.rank.duplicates import duplicates
from packflow.rank.known_crystals import Known, compare_with_known
from packflow.rank.lattice_energy import GasPhase
from packflow.rank.ranking import RankConfig, Ranking, rank_crystals
from packflow.rank.ranking_files import ranking_table, write_ranking

__all__ = [
    "Candidate",
    "DuplicateGroups",
    "GasPhase",
    "Known",
    "RankConfig",
    "Ranking",
    "amd_groups",
    "compare_with_known",
    "duplicates",
    "rank_crystals",
    "ranking_table",
    "write_ranking",
]
