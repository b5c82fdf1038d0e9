"""The baselines as what samples proposals in place of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from packflow.baseline.random_packing import Packing, PackingConfig, packing, ways_of
from packflow.baseline.rigid_press import PressConfig, rigid_press
from packflow.errors import InputError
from packflow.structure import Template

BaselineName = Literal["random", "rigid-press"]
# template, index, seed, attempt
Place = tuple[Template, int, int, int]


@dataclass(frozen=True)
class Baseline:
    """A generator that takes the place of a model wherever proposals are sampled.

    Attributes:
        name: "random" for packings as they are drawn, "rigid-press" to compress them.
        packing: how they are drawn.
        press: how they are compressed.
    """

    name: BaselineName
    packing: PackingConfig = field(default_factory=PackingConfig)
    press: PressConfig = field(default_factory=PressConfig)

    def __post_init__(self) -> None:
        """Refuse an unknown name."""
        if self.name not in get_args(BaselineName):
            raise InputError(f"engine must be one of {', '.join(get_args(BaselineName))}, got {self.name!r}")

    def settings(self) -> dict[str, object]:
        """All that its packings depend on beside template, seed and index."""
        pressed = {"press": asdict(self.press)} if self.name == "rigid-press" else {}
        return {"packing": asdict(self.packing), **pressed}

    def check(self, template: Template, seed: int) -> None:
        """Refuse a template that it can do nothing with, before any work; raises InputError as `random_packings`."""
        ways_of(template, seed, 0, self.packing)

    def packings(self, places: Sequence[Place]) -> list[Packing]:
        """The packings of some places, each a function of its place alone, but for rounding.

        Raises:
            InputError: as `random_packings`, of any template.
        """
        drawn = [packing(template, index, seed, self.packing, attempt) for template, index, seed, attempt in places]
        return rigid_press(drawn, self.press) if self.name == "rigid-press" else drawn
