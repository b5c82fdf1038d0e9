"""What a report says of a run as a whole: how it was made, how far it is, what to know before reading on."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from packflow.campaign.manifest import MANIFEST, read_manifest
from packflow.campaign.relax_stage import stage_of
from packflow.errors import InputError
from packflow.pipeline.report_rows import Found, replaced_of
from packflow.rank.ranking import NO_GAS
from packflow.report.page import Facts
from packflow.report.proposals import RUN

# names that commands give to molecules of whom no name was told
UNNAMED = ("molecule", "proposal")
# characters of a digest that are shown
DIGEST = 12

Pairs = tuple[tuple[str, str], ...]


def facts_of(store: str | Path, found: Found, title: str | None = None) -> Facts:
    """Facts of a store.

    Args:
        store: Its folder.
        found: Its rows.
        title: Of the page; None for the molecule, or the folder where there are several.

    Raises:
        InputError: a manifest cannot be read.
    """
    store, names = Path(store), names_of(found)
    called = next(iter(names.values())) if len(names) == 1 else store.resolve().name
    return Facts(
        title=title or called,
        n_planned=found.source.n_planned,
        settings=settings_of(store, found),
        problems=tuple(found.problems),
        warnings=warnings_of(store, found),
        names=names,
        replaced=replaced_of(found),
    )


def names_of(found: Found) -> dict[str, str]:
    """What molecules are called, by SMILES; one without a name is its SMILES."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, row in found.proposals.items():
        called = name.rpartition("#")[0]
        if called not in names[row["smiles"]] and called not in UNNAMED:
            names[row["smiles"]].append(called)
    return {smiles: ", ".join(called) or smiles for smiles, called in names.items()}


def warnings_of(store: Path, found: Found) -> tuple[str, ...]:
    """How far a run is, where it could go on, and what its numbers lack."""
    n_found, n_planned, n_relaxed = len(found.proposals), found.source.n_planned, len(found.relaxed)
    warnings = []
    if n_found < n_planned and not found.problems:
        warnings.append(f"Sampling is not finished: {n_found} of {n_planned} proposals are there.")
    if not n_relaxed:
        warnings.append(
            f"Sampled only: there are no energies yet, and heavy atoms alone. packflow relax {store.name} relaxes the proposals."
        )
    elif n_relaxed < n_found:
        warnings.append(f"Relaxation is not finished: {n_relaxed} of {n_found} proposals went through it.")
    if n_relaxed and not found.ranked:
        warnings.append(
            f"Relaxed, not ranked: duplicates and broken molecules are among the structures. packflow rank {store.name} sorts them out."
        )
    gas = {row["gas_problem"] for row in found.ranked.values()} - {"", None, NO_GAS}
    return (*warnings, *(f"No lattice energies: {problem}." for problem in sorted(gas)))


def settings_of(store: Path, found: Found) -> tuple[tuple[str, Pairs], ...]:
    """How a run was made, as its manifests state it: headings with names and values."""
    sections = [("Sampling", sampling_settings(store))]
    if found.relaxed:
        sections += relaxation_settings(stage_of(store))
    if found.ranked:
        tolerances = {str(row["symmetry_tolerance"]) for row in found.ranked.values() if row["symmetry_tolerance"] is not None}
        counts = ("structures", str(len(found.ranked))), ("with a rank", str(sum(row["rank"] is not None for row in found.ranked.values())))
        sections.append(("Ranking", (*counts, ("tolerance of space groups", ", ".join(sorted(tolerances)) + " Å"))))
    return tuple(sections)


def relaxation_settings(made_of: dict[str, Any]) -> list[tuple[str, Pairs]]:
    """Settings of a relaxation: the potential, then each stage."""
    settings = dict(made_of.get("relaxation", {}))
    stages = {name: settings.pop(name) for name in ("hydrogens", "full") if name in settings}
    about = {"potential": made_of.get("potential", ""), **made_of.get("potential_parameters", {}), **settings}
    headings = {"hydrogens": "Relaxation of hydrogens", "full": "Relaxation of everything"}
    return [("Potential", flat(about)), *((headings[name], flat(stage)) for name, stage in stages.items())]


def sampling_settings(store: Path) -> Pairs:
    """Settings of the sampler, from the manifest of a store or run.json of a folder; none where that is not there."""
    if (store / MANIFEST).exists():
        manifest = read_manifest(store)
        return flat(
            {"packflow": manifest.get("packflow", ""), "proposals": manifest.get("n_proposals", ""), **unnested(manifest["made_of"])}
        )
    file = store / RUN
    try:
        about = json.loads(file.read_text())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    return flat(about) if isinstance(about, dict) else ()


def unnested(made_of: dict[str, Any]) -> dict[str, Any]:
    """Settings of the sampler beside the others, as run.json has them."""
    return {**{key: value for key, value in made_of.items() if key != "sample"}, **made_of.get("sample", {})}


def flat(about: dict[str, Any], before: str = "") -> Pairs:
    """Nested settings as names and values; digests shortened."""
    pairs: list[tuple[str, str]] = []
    for key, value in about.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            pairs += flat(value, f"{before}{key}, ")
        elif isinstance(value, str) and len(value) == 64 and key in ("weights", "jobs", "proposals"):
            pairs.append((f"{name} (SHA-256)", value[:DIGEST]))
        else:
            pairs.append((name, ", ".join(map(said, value)) if isinstance(value, list) else said(value)))
    return tuple(pairs)


def said(value: object) -> str:
    """A value of a manifest as one says it."""
    return {True: "yes", False: "no", None: "none"}[value] if isinstance(value, bool | None) else str(value)
