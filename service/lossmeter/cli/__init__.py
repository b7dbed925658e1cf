"""The command line: `commands` lists the commands, and a module for each noun holds them."""

from __future__ import annotations

try:
    from lossmeter.cli.commands import program
except ModuleNotFoundError as error:
    if error.name != "typer":
        raise
    raise SystemExit('lossmeter: the command comes with the service: pip install "lossmeter[server]"') from None


def main() -> None:
    """Runs the command `lossmeter`."""
    program()
