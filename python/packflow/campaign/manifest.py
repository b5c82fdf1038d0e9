"""Manifest of a store: what its proposals were made of, and whether a command asks for the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from packflow.campaign.disk import PARTIAL
from packflow.campaign.plan import Plan
from packflow.errors import InputError
from packflow.model import PackFlow

FORMAT, FORMAT_VERSION = "packflow campaign", 2
MANIFEST, LOCK = "manifest.json", ".lock"


def manifest_of(plan: Plan, made_of: dict[str, Any]) -> bytes:
    """The text of a manifest."""
    counts = {"n_jobs": len(plan.jobs), "n_proposals": plan.n_proposals, "n_units": plan.n_units}
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "packflow": version("packflow-csp")}
    return (json.dumps({**about, "made_of": made_of, "unit_atoms": plan.unit_atoms, **counts}, indent=2) + "\n").encode()


def begun_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a folder, or None where a store may be made.

    Raises:
        InputError: the folder holds something else, or as `read_manifest`.
    """
    if (path / MANIFEST).exists():
        return read_manifest(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is no folder: choose another name")
    if path.is_dir() and any(p.name != LOCK and not p.name.endswith(PARTIAL) for p in path.iterdir()):
        raise InputError(f"{path} holds files already and no campaign ({MANIFEST} is missing); nothing in it was changed")
    return None


def read_manifest(path: Path) -> dict[str, Any]:
    """What a store says of itself.

    Raises:
        InputError: there is no store, or its manifest is damaged or of another version.
    """
    file = path / MANIFEST
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{path} is no store of a campaign: {MANIFEST} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{file} is damaged: the shards beside it are untouched") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{file} is not that of a campaign; nothing in {path} was changed")
    if found.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{file} has format version {found.get('format_version')}, this packflow reads {FORMAT_VERSION}: use that which wrote it"
        )
    if not isinstance(found.get("made_of"), dict) or not isinstance(found.get("unit_atoms"), int):
        raise InputError(f"{file} is damaged, made_of or unit_atoms is missing: the shards beside it are untouched")
    return found


def check_same(path: Path, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to continue with other weights, jobs or settings, and name the first that differs."""
    for name in sorted(begun.keys() | wanted.keys()):
        one, other = begun.get(name), wanted.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            check_same(path, one, other)
        shown = "other ones" if name in ("weights", "jobs") else f"{one}, got {other}"
        raise InputError(f"{path} was begun with {name} {shown}: give what it was begun with, or another folder")


def weights_digest(model: PackFlow) -> str:
    """SHA-256 of a model's configuration and weights, wherever they are."""
    digest = hashlib.sha256(json.dumps(asdict(model.config), sort_keys=True, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
