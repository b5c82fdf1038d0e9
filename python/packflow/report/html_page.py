"""A report page: one HTML file with styles, scripts and data inside, which asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib.metadata import version
from importlib.resources import files

from packflow.report.html_payload import payload
from packflow.report.page import Page

FOLDER = "html"
VIEWER = "vendor/3Dmol-min.js"
# in the order in which they need each other; they share one module
SCRIPTS = (
    "data.js",
    "choice.js",
    "elements.js",
    "crystal.js",
    "cif.js",
    "formula.js",
    "summary.js",
    "landscape.js",
    "landscape_marks.js",
    "landscape_input.js",
    "table.js",
    "chips.js",
    "viewer.js",
    "details.js",
    "distributions.js",
    "rejected.js",
    "main.js",
)
STYLES = ("theme.css", "frame.css", "landscape.css", "viewer.css", "table.css", "sections.css", "narrow.css")
# proposals that are listed unless more are asked for
MAX_LISTED = 5000


def html_page(page: Page, max_listed: int = MAX_LISTED) -> str:
    """The text of a report page.

    The page allows itself, by a content security policy, only the scripts in it: a name or SMILES can never become one.

    Args:
        page: What it shows.
        max_listed: Proposals that are listed, the best first; the others are only counted.
    """
    data, coordinates = payload(page, max_listed)
    viewer, scripts = script_safe(source(VIEWER)), script_safe("\n".join(source(name) for name in SCRIPTS))
    parts = {
        "title": html.escape(page.facts.title),
        "version": html.escape(version("packflow-csp")),
        "policy": policy(viewer, scripts),
        "style": "\n".join(source(name) for name in STYLES),
        "data": data,
        "coordinates": coordinates,
        "viewer": viewer,
        "scripts": scripts,
        "licenses": html.escape(source("vendor/LICENSES.txt")),
    }
    # one pass, so that what is inserted is never taken for a place to insert something
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], source("page.html"))


def source(name: str) -> str:
    """A file that is installed with this package."""
    return files("packflow.report").joinpath(FOLDER, name).read_text(encoding="utf-8")


def script_safe(script: str) -> str:
    """A script that does not end the element which it is in."""
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE).replace("<!--", r"<\!--")


def policy(*scripts: str) -> str:
    """A content security policy under which only these scripts run and nothing is loaded."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
