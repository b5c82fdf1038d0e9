"""From the relaxed crystals of a store to a ranking, as a table and CIF files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packflow.campaign.disk import PARTIAL
from packflow.campaign.export import remove
from packflow.campaign.relax_stage import read_relaxed, stage_of
from packflow.campaign.relaxation import Relaxation, parameters_of, relaxation_of
from packflow.campaign.relaxed_shard import relaxed_of, start_of
from packflow.errors import InputError
from packflow.pipeline.known import keep_references, read_known, relax_known
from packflow.potential import Potential, potential_of
from packflow.proposal_table import template_of
from packflow.rank import Candidate, GasPhase, RankConfig, Ranking, compare_with_known, rank_crystals, write_ranking

# of the ranking in its store
FOLDER = "ranked"


def rank_store(
    store: str | Path,
    out: str | Path | None = None,
    top: int | None = None,
    references: Sequence[str | Path] = (),
    gas: bool = True,
    potential: Potential | None = None,
    device: str = "cpu",
    config: RankConfig | None = None,
) -> Ranking:
    """Rank the relaxed crystals of a store by energy, each molecule by itself, and write them.

    All of them are in memory meanwhile, about 20 kB a proposal.

    Args:
        store: Folder whose proposals `packflow relax` relaxed, finished or not.
        out: Folder that must not exist or be empty; None for `ranked` in the store, which is replaced.
        top: Ranks of a molecule that are written, best first; None for all. Those without a rank are always listed.
        references: CIF files of known crystals, which are relaxed likewise and compared.
        gas: Compute lattice energies too, against the best conformer in vacuum.
        potential: That relaxed them; None makes it anew from its name.
        device: Where references and conformers are relaxed.
        config: What may be ranked, and what is the same.

    Returns:
        The whole ranking; what was written of it is in `ranking.parquet`, `ranking.csv` and `cifs/` of the folder, the references in
        `references/`.

    Raises:
        InputError: nothing was relaxed, by a potential that is not there or has other parameters here; a file is damaged; a reference
            cannot be used; out holds files already or cannot be written; top is below 1.
    """
    folder = check_out(Path(out)) if out is not None else Path(store) / FOLDER
    if top is not None and top < 1:
        raise InputError(f"top must be at least 1, got {top}")
    rows = read_relaxed(store)
    settings, potential = potential_and_settings(store, potential, device)
    candidates = [
        Candidate(
            name=row["name"],
            template=template_of(row["smiles"], row["n_copies"]),
            relaxed=relaxed_of(row),
            before=start_of(row),
            index=row["index"],
            seed=row["seed"],
            problem=row["problem"],
        )
        for row in rows
    ]
    known = read_known(references, [c.template.molecule.smiles for c in candidates])
    ranking = rank_crystals(candidates, GasPhase(potential, device=device) if gas else None, config)
    if known:
        ranking = compare_with_known(ranking, relax_known(known, potential, settings, device), top or 100)
    best = [row for row in ranking.rows if top is None or row.rank is None or row.rank <= top]
    replace_folder(replace(ranking, rows=tuple(best)), folder, references)
    return ranking


def potential_and_settings(store: str | Path, potential: Potential | None, device: str) -> tuple[Relaxation, Potential]:
    """What the crystals of a store were relaxed with; raises InputError if it is not to be had here."""
    made_of = stage_of(store)
    anew = f"use the packflow that relaxed it, or move {Path(store) / 'relaxed'} away and relax again"
    try:
        name, parameters, settings = made_of["potential"], made_of["potential_parameters"], relaxation_of(made_of["relaxation"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{store} was relaxed with settings that this packflow does not know: {anew}") from error
    potential = potential or potential_of(name, device)
    if json.loads(json.dumps(parameters_of(potential))) != parameters:
        raise InputError(f"{store} was relaxed by potential {name} with other parameters than it has here: {anew}")
    return settings, potential


def check_out(out: Path) -> Path:
    """A folder that can be made, before work is done for it; raises InputError if it holds files or is one."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds files already; choose another folder, nothing in it was changed")
    return out


def replace_folder(ranking: Ranking, folder: Path, references: Sequence[str | Path]) -> None:
    """Write a ranking and what it was compared with; the folder is there when it is complete, one that was there is gone then."""
    partial = folder.with_name(folder.name + PARTIAL)
    try:
        remove(partial)
        write_ranking(ranking, partial)
        keep_references(references, partial)
        remove(folder)
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from error
