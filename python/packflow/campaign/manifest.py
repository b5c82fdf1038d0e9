"""Manifest of a store: what its proposals were made of, and whether a command asks for the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packflow.baseline.engine import Baseline
from packflow.campaign.disk import PARTIAL
from packflow.campaign.plan import Plan
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow

MANIFEST, LOCK = "manifest.json", ".lock"


@dataclass(frozen=True)
class Form:
    """A kind of manifest.

    name, version: what its `format` and `format_version` are.
    noun:          what a folder with it is, for messages.
    entries:       that it must have, beside `made_of`, and their types.
    mend:          what to do where a command asks for something else.
    """

    name: str
    version: int
    noun: str
    entries: tuple[tuple[str, type], ...]
    mend: str


CAMPAIGN = Form("packflow campaign", 2, "campaign", (("unit_atoms", int),), "give what it was begun with, or another folder")


def manifest_of(plan: Plan, made_of: dict[str, Any]) -> bytes:
    """The text of a manifest."""
    counts = {"n_jobs": len(plan.jobs), "n_proposals": plan.n_proposals, "n_units": plan.n_units}
    return manifest_text(CAMPAIGN, {"made_of": made_of, "unit_atoms": plan.unit_atoms, **counts})


def manifest_text(form: Form, entries: dict[str, Any]) -> bytes:
    """The text of a manifest of any form."""
    about = {"format": form.name, "format_version": form.version, "packflow": version("packflow-csp")}
    return (json.dumps({**about, **entries}, indent=2) + "\n").encode()


def campaign_digest(made_of: dict[str, Any], unit_atoms: int) -> str:
    """Of what the proposals of a store and their order depend on; shards state it."""
    return hashlib.sha256(json.dumps({**made_of, "unit_atoms": unit_atoms}, sort_keys=True).encode()).hexdigest()


def begun_manifest(path: Path, form: Form = CAMPAIGN) -> dict[str, Any] | None:
    """The manifest of a folder, or None where a store may be made.

    Raises:
        InputError: the folder holds something else, or as `read_manifest`.
    """
    if (path / MANIFEST).exists():
        return read_manifest(path, form)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is no folder: choose another name")
    if path.is_dir() and any(p.name != LOCK and not p.name.endswith(PARTIAL) for p in path.iterdir()):
        raise InputError(f"{path} holds files already and no {form.noun} ({MANIFEST} is missing); nothing in it was changed")
    return None


def read_manifest(path: Path, form: Form = CAMPAIGN) -> dict[str, Any]:
    """What a store says of itself.

    Raises:
        InputError: there is no store, or its manifest is damaged or of another version.
    """
    file = path / MANIFEST
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{path} is no store of a {form.noun}: {MANIFEST} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{file} is damaged: the shards beside it are untouched") from error
    if not isinstance(found, dict) or found.get("format") != form.name:
        raise InputError(f"{file} is not that of a {form.noun}; nothing in {path} was changed")
    if found.get("format_version") != form.version:
        raise InputError(
            f"{file} has format version {found.get('format_version')}, this packflow reads {form.version}: use that which wrote it"
        )
    entries = (("made_of", dict), *form.entries)
    if not all(isinstance(found.get(name), kind) for name, kind in entries):
        names = " or ".join(name for name, _ in entries)
        raise InputError(f"{file} is damaged, {names} is missing: the shards beside it are untouched")
    return found


def check_same(path: Path, begun: dict[str, Any], wanted: dict[str, Any], form: Form = CAMPAIGN) -> None:
    """Refuse to continue with something else than what was begun with, and name the first that differs."""
    for name in sorted(begun.keys() | wanted.keys()):
        one, other = begun.get(name), wanted.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            check_same(path, one, other, form)
        shown = "other ones" if name in ("weights", "jobs", "proposals") else f"{one}, got {other}"
        raise InputError(f"{path} was begun with {name} {shown}: {form.mend}")


def made_by(model: PackFlow | Baseline, config: SampleConfig) -> dict[str, Any]:
    """What a manifest says of what samples the proposals: digest of the weights and how they are used, or which baseline."""
    if isinstance(model, Baseline):
        return {"engine": model.name, "sample": json.loads(json.dumps(model.settings()))}
    return {"weights": weights_digest(model), "sample": json.loads(json.dumps(asdict(config)))}


def weights_digest(model: PackFlow) -> str:
    """SHA-256 of a model's configuration and weights, wherever they are."""
    digest = hashlib.sha256(json.dumps(asdict(model.config), sort_keys=True, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
