"""`lossmeter settings`: prints every setting with its variable, its value and its meaning."""

from __future__ import annotations

import re

from rich.console import Console
from rich.text import Text

from lossmeter.cli.layout import table
from lossmeter.settings import Settings, variable

PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")
"""Of a URL."""


def show_settings() -> None:
    """Print every setting: its environment variable, its value here, what it means."""
    settings = Settings()
    page = table("variable", "value", "meaning")
    for name, field in Settings.model_fields.items():
        value = PASSWORD.sub(r"\1…@", str(getattr(settings, name)))
        page.add_row(Text(variable(name), "bold"), value, field.description)
    Console().print(page)
