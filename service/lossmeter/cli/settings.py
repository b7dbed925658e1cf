"""`lossmeter settings`: prints every setting with its variable, its value and its meaning."""

from __future__ import annotations

import re

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from lossmeter.cli.failures import failures_exit
from lossmeter.cli.layout import table
from lossmeter.errors import Flaw, Invalid
from lossmeter.settings import Settings, variable
from lossmeter.validation import invalid

PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")
"""Of a URL."""


def read_settings() -> Settings:
    """Reads the settings from the environment.

    Raises:
        Invalid: with every variable that is not what it can be.
    """
    try:
        return Settings()
    except ValidationError as error:
        flaws = invalid("settings", error, list(Settings.model_fields)).flaws
        raise Invalid.of("settings", [_named(flaw) for flaw in flaws]) from None


def _named(flaw: Flaw) -> Flaw:
    """Names the variable in place of the field."""
    field = flaw.pointer[1:]
    return Flaw(flaw.pointer, flaw.message.replace(field, variable(field), 1), flaw.index)


@failures_exit(2)
def show_settings() -> None:
    """Print every setting: its environment variable, its value here, what it means."""
    settings = read_settings()
    page = table("variable", "value", "meaning")
    for name, field in Settings.model_fields.items():
        value = PASSWORD.sub(r"\1…@", str(getattr(settings, name)))
        page.add_row(Text(variable(name), "bold"), value, field.description)
    Console().print(page)
