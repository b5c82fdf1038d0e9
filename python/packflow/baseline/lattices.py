"""Random unit cells of a crystal system and a volume."""

from __future__ import annotations

import numpy as np

# relative standard deviation of the extents, and that of free angles in degrees: those of cgenarris
EXTENT_DEVIATION = 0.4
ANGLE_DEVIATION = 8.0
MIN_ANGLE, MAX_ANGLE = 45.0, 135.0
MIN_EXTENT = 0.1
# lattice parameters that differ
EQUAL_EXTENTS = {"tetragonal": (0, 0, 2), "trigonal": (0, 0, 2), "hexagonal": (0, 0, 2), "cubic": (0, 0, 0)}
# normal numbers that one cell takes
N_NUMBERS = 6


def random_cells(system: str, volume: float, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells of a crystal system, as cgenarris draws them: normal extents along three perpendicular axes, scaled to the volume, and
    normal angles around 90 degrees where the system leaves them free.

    Args:
        system: As `SpaceGroup.system`; trigonal groups have hexagonal axes, monoclinic ones the unique axis b.
        volume: Å3.
        normal: Standard normal numbers. [n, N_NUMBERS]

    Returns:
        Rows a, b, c in Å, a along x and b in the xy plane [n, 3, 3], and which of them are cells at all [n] bool.
    """
    extents = 1.0 + EXTENT_DEVIATION * normal[:, list(EQUAL_EXTENTS.get(system, (0, 1, 2)))]
    angles = np.full((len(normal), 3), 90.0)
    if system == "triclinic":
        angles += ANGLE_DEVIATION * normal[:, 3:]
    elif system == "monoclinic":
        angles[:, 1] += ANGLE_DEVIATION * normal[:, 4]
    elif system in ("trigonal", "hexagonal"):
        angles[:, 2] = 120.0
        extents[:, 1] *= np.sqrt(0.75)
    good = (extents > MIN_EXTENT).all(1) & (angles > MIN_ANGLE).all(1) & (angles < MAX_ANGLE).all(1)
    cos, sin = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    # direction of c: its components along a, across it in the plane of b, and up
    across = (cos[:, 0] - cos[:, 1] * cos[:, 2]) / sin[:, 2]
    up2 = 1.0 - cos[:, 1] ** 2 - across**2
    good &= up2 > np.cos(np.radians(MIN_ANGLE)) ** 2 / 2
    extents = np.where(good[:, None], extents, 1.0)
    extents *= np.cbrt(volume / extents.prod(1))[:, None]
    length = extents[:, 2] / np.sqrt(np.where(good, up2, 1.0))
    cells = np.zeros((len(normal), 3, 3))
    cells[:, [0, 1, 2], [0, 1, 2]] = extents
    cells[:, 1, 0] = extents[:, 1] * cos[:, 2] / sin[:, 2]
    cells[:, 2, 0] = length * cos[:, 1]
    cells[:, 2, 1] = length * across
    # exactly right angles, so that symmetry is exact
    cells[np.abs(cells) < 1e-12 * np.cbrt(volume)] = 0.0
    return cells, good
