"""The page that the figures are written into."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from tests.contracts.pages import filled

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def write(name: str, text: str) -> None:
    """Puts a part of the page in the place of the old one."""
    PAGE.write_text(filled(PAGE.read_text(), {name: text}))


def conditions() -> str:
    """When and on what."""
    load = os.getloadavg()[2]
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    return f"{date}, {os.cpu_count()} cores, which other programs shared (load of the last 15 minutes {load:.0f})."
