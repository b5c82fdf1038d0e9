"""The baselines as what samples proposals in place of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from packflow.baseline.genarris_adapter import check_genarris
from packflow.baseline.genarris_engine import genarris_proposal, groups_of_one_molecule
from packflow.baseline.genarris_files import GenarrisConfig
from packflow.baseline.generated import Generated
from packflow.baseline.pyxtal_adapter import check_pyxtal
from packflow.baseline.pyxtal_engine import PyxtalConfig, general_groups, pyxtal_proposal
from packflow.baseline.random_packing import Packing, PackingConfig, packing, ways_of
from packflow.baseline.rigid_press import PressConfig, rigid_press
from packflow.errors import InputError
from packflow.structure import Template

BaselineName = Literal["random", "rigid-press", "pyxtal", "genarris", "genarris-press"]
BASELINES: tuple[str, ...] = get_args(BaselineName)
GENARRIS = ("genarris", "genarris-press")
# template, index, seed, attempt
Place = tuple[Template, int, int, int]


@dataclass(frozen=True)
class Baseline:
    """A generator that takes the place of a model wherever proposals are sampled.

    Attributes:
        name: "random" for packings as they are drawn, "rigid-press" to compress them; "pyxtal" for PyXtal, "genarris" for Genarris,
            "genarris-press" for Genarris with its Rigid Press, all three only where they are installed.
        packing: how "random" and "rigid-press" are drawn.
        press: how "rigid-press" compresses.
        pyxtal: how PyXtal draws.
        genarris: how Genarris is run.
    """

    name: BaselineName
    packing: PackingConfig = field(default_factory=PackingConfig)
    press: PressConfig = field(default_factory=PressConfig)
    pyxtal: PyxtalConfig = field(default_factory=PyxtalConfig)
    genarris: GenarrisConfig = field(default_factory=GenarrisConfig)

    def __post_init__(self) -> None:
        """Refuse an unknown name, and a program that is not installed."""
        if self.name not in BASELINES:
            raise InputError(f"engine must be one of {', '.join(BASELINES)}, got {self.name!r}")
        if self.name == "pyxtal":
            check_pyxtal()
        if self.name in GENARRIS:
            check_genarris(self.genarris.command)

    def settings(self) -> dict[str, object]:
        """All that its packings depend on beside template, seed and index."""
        if self.name == "pyxtal":
            return {"pyxtal": asdict(self.pyxtal)}
        if self.name in GENARRIS:
            return {"genarris": asdict(self.genarris)}
        pressed = {"press": asdict(self.press)} if self.name == "rigid-press" else {}
        return {"packing": asdict(self.packing), **pressed}

    def check(self, template: Template, seed: int) -> None:
        """Refuse a template that it can do nothing with, before any work; raises InputError as `random_packings`."""
        if self.name == "pyxtal":
            general_groups(template, seed, self.pyxtal.space_groups)
        elif self.name in GENARRIS:
            groups_of_one_molecule(template, seed, self.genarris.space_groups)
        else:
            ways_of(template, seed, 0, self.packing)

    def packings(self, places: Sequence[Place]) -> Sequence[Packing | Generated]:
        """The packings of some places, each a function of its place alone, but for rounding; of Genarris, see `genarris_packings`.

        Raises:
            InputError: as `random_packings`, of any template; Genarris fails.
        """
        if self.name == "pyxtal":
            return [pyxtal_proposal(template, index, seed, self.pyxtal, attempt) for template, index, seed, attempt in places]
        if self.name in GENARRIS:
            press = self.name == "genarris-press"
            return [genarris_proposal(template, index, seed, self.genarris, press, attempt) for template, index, seed, attempt in places]
        drawn = [packing(template, index, seed, self.packing, attempt) for template, index, seed, attempt in places]
        return rigid_press(drawn, self.press) if self.name == "rigid-press" else drawn
