"""Figures to files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from packflow.campaign.disk import write_atomically
from packflow.errors import InputError
from packflow.evaluate.figures.html import write_html
from packflow.evaluate.figures.png import png_bytes
from packflow.evaluate.figures.spec import Figure

PACKAGES = ("matplotlib", "plotly")


def check_packages() -> None:
    """Refuse to begin without what draws.

    Raises:
        InputError: matplotlib or plotly is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"figures need {' and '.join(missing)}: pip install 'packflow-csp[figures]'")


def write_figures(figures: Sequence[Figure], folder: str | Path) -> list[Path]:
    """Write NAME.png and NAME.html of each figure; files of an earlier call are replaced.

    Args:
        figures: Of different names.
        folder: Made if it is not there.

    Returns:
        The files, in the order of the figures.

    Raises:
        InputError: matplotlib or plotly is not installed, or a file cannot be written.
    """
    check_packages()
    folder, written = Path(folder), []
    for figure in figures:
        image, page = folder / f"{figure.name}.png", folder / f"{figure.name}.html"
        write_atomically(image, png_bytes(figure))
        try:
            write_html(figure, page)
        except OSError as error:
            raise InputError(f"{page} cannot be written: {error.strerror or error}") from error
        written += [image, page]
    return written
