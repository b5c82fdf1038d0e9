"""What PackFlow is compared with: random packing under symmetry and Rigid Press, after Genarris (paper, section 4.6); PyXtal, Genarris."""

from packflow.baseline.engine import BASELINES, Baseline
from packflow.baseline.genarris_engine import genarris_packings
from packflow.baseline.genarris_files import GenarrisConfig
from packflow.baseline.generated import Generated
from packflow.baseline.pyxtal_engine import PyxtalConfig
from packflow.baseline.random_packing import Packing, PackingConfig, random_packings
from packflow.baseline.rigid_press import PressConfig, rigid_press
from packflow.baseline.shortlist import shortlist

__all__ = [
    "BASELINES",
    "Baseline",
    "GenarrisConfig",
    "Generated",
    "Packing",
    "PackingConfig",
    "PressConfig",
    "PyxtalConfig",
    "genarris_packings",
    "random_packings",
    "rigid_press",
    "shortlist",
]
