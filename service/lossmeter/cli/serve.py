"""`lossmeter serve`: runs the server. Its options are settings: names, types, bounds, defaults and help follow from those."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer
from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from lossmeter.cli.database import open_database
from lossmeter.cli.failures import failure, failures_exit
from lossmeter.cli.settings import read_settings
from lossmeter.errors import Invalid
from lossmeter.settings import Settings, variable

OPTIONS = (
    "host",
    "port",
    "uds",
    "workers",
    "device",
    "threads",
    "log_level",
    "log_format",
    "access_log",
    "tls_certificate",
    "tls_key",
    "drain_seconds",
    "grace_seconds",
)


def serve(**chosen: Any) -> None:
    """Serve over HTTP. Every other setting is an environment variable: see `lossmeter settings`."""
    _check_tls(chosen["tls_certificate"], chosen["tls_key"])
    with failures_exit(2):
        _serve(chosen)


def _serve(chosen: Mapping[str, Any]) -> None:
    # The workers are processes of their own: what is chosen here reaches them through the environment.
    os.environ.update({variable(name): str(value) for name, value in chosen.items()})
    settings = read_settings()
    _check(settings)
    from lossmeter.scheduling import garbage

    garbage.pause_collection()
    from lossmeter.serving.server import run

    run(settings)


def _check(settings: Settings) -> None:
    """Finds out what would end the server, or each worker again and again, before it says that it is there.

    Raises:
        Invalid: the database has no such address; the device cannot be used.
        typer.Exit: the address to listen on is not free.
    """
    from lossmeter.serving.listeners import check_address

    try:
        check_address(settings.host, settings.port, settings.uds)
    except OSError as error:
        where = settings.uds or f"{settings.host}:{settings.port}"
        raise failure(error, f"lossmeter: cannot listen on {where}: {error.strerror or error}", 1) from None
    open_database(settings).close()
    if settings.device not in ("auto", "cpu"):  # any other needs torch, which takes long to load
        from lossmeter.engine import devices

        try:
            devices.choose(settings.device)
        except ValueError as error:
            raise Invalid.at("settings", "/device", str(error).partition("\n")[0]) from None


def _parameter(name: str, field: FieldInfo) -> Parameter:
    least = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    option = typer.Option(envvar=variable(name), help=field.description, min=least, max=most)  # type: ignore[arg-type]
    annotation = Annotated[field.annotation, option]  # type: ignore[name-defined]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation)


# typer reads both.
_PARAMETERS = [_parameter(name, Settings.model_fields[name]) for name in OPTIONS]
serve.__signature__ = Signature(_PARAMETERS)  # type: ignore[attr-defined]
serve.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}


def _check_tls(certificate: str, key: str) -> None:
    if key and not certificate:
        raise typer.BadParameter("a key without a certificate", param_hint="--tls-key")
    for path, option in ((certificate, "--tls-certificate"), (key, "--tls-key")):
        if path and not os.access(path, os.R_OK):
            raise typer.BadParameter(f"{path} cannot be read", param_hint=option)
    if certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, password="")
        except (ssl.SSLError, ValueError) as error:
            raise typer.BadParameter(f"{certificate}: {error}", param_hint="--tls-certificate") from None
