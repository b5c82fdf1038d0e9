"""What is evaluated: weights by name or path, or a baseline that the campaign knows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packflow.baseline import BASELINES, Baseline, GenarrisConfig, PyxtalConfig
from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.model.pretrained import find, load, pretrained_names
from packflow.train.checkpoint import PROGRESS

# of a label, which is the name of a folder and a heading
LONGEST = 40
UNFIT = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class EngineName:
    """An engine as it is asked for.

    label: in tables and figures, and the name of its folder.
    word:  name of weights, path of a checkpoint, or a baseline.
    """

    label: str
    word: str

    @property
    def is_baseline(self) -> bool:
        """Whether it has no weights."""
        return self.word in BASELINES

    @property
    def energy_share(self) -> float | None:
        """Share of the energy in the rewards that its weights were aligned by (the paper's lambda); None for other engines."""
        if self.is_baseline or self.word in pretrained_names():
            return None
        file = find(self.word)[0] / PROGRESS
        if not file.is_file():
            return None
        rewards = json.loads(file.read_text()).get("config", {}).get("rewards", {})
        return float(rewards["energy_share"]) if "energy_share" in rewards else None

    def model(self, device: str = "cpu") -> PackFlow:
        """Its network; raises InputError if there are no such weights."""
        return load(self.word).to(device)

    def sampler(
        self, device: str = "cpu", pyxtal: PyxtalConfig | None = None, genarris: GenarrisConfig | None = None
    ) -> PackFlow | Baseline:
        """What campaigns sample with; raises as `model`, or InputError if it is a baseline whose program is not installed."""
        if not self.is_baseline:
            return self.model(device)
        settings = {"pyxtal": pyxtal or PyxtalConfig(), "genarris": genarris or GenarrisConfig()}
        return Baseline(self.word, **settings)  # type: ignore[arg-type]


def engine_names(words: Sequence[str]) -> list[EngineName]:
    """Engines from words such as open-2m, runs/a/step_00001000 or aligned=runs/b.

    Args:
        words: Name, path or baseline; with a label and "=" before it, if wanted. A label that is not given is the name itself or the
            last parts of the path.

    Raises:
        InputError: none is given, or two have one label.
    """
    if not words:
        raise InputError("engine must be given at least once, got none")
    names = [engine_name(word) for word in words]
    repeated = [label for label, count in Counter(name.label for name in names).items() if count > 1]
    if repeated:
        raise InputError(f"engines must have different labels, got {repeated[0]} twice: give them as LABEL=ENGINE")
    return names


def engine_name(word: str) -> EngineName:
    """One of `engine_names`."""
    label, equals, rest = word.partition("=")
    if equals and label and "/" not in label and not Path(word).exists():
        return EngineName(label_of(label), rest)
    path = Path(word)
    parts = [part for part in path.parts if part not in ("/", ".", "..")]
    # a checkpoint alone says little: the run's folder belongs to its name
    shown = parts[-2:] if parts and parts[-1].startswith("step_") else parts[-1:]
    return EngineName(label_of("-".join(shown).removesuffix(".safetensors")), word)


def label_of(text: str) -> str:
    """The text as the name of a folder; raises InputError if nothing is left of it."""
    label = UNFIT.sub("-", text).strip("-.")[:LONGEST]
    if not label:
        raise InputError(f"engine must have a label with a letter or digit, got {text!r}: give it as LABEL=ENGINE")
    return label
