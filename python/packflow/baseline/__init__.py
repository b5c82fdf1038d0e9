"""What PackFlow is compared with: random packing under symmetry and Rigid Press, after Genarris (paper, section 4.6)."""

from packflow.baseline.engine import Baseline
from packflow.baseline.random_packing import Packing, PackingConfig, random_packings
from packflow.baseline.rigid_press import PressConfig, rigid_press
from packflow.baseline.shortlist import shortlist

__all__ = ["Baseline", "Packing", "PackingConfig", "PressConfig", "random_packings", "rigid_press", "shortlist"]
