"""The service as a deployment of Ray Serve: each replica is the application that `lossmeter serve` runs."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from lossmeter import cpus
from lossmeter.cluster.extra import imported
from lossmeter.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

MAX_ONGOING_REQUESTS = 256
"""Requests that a replica has at the same time. With the 5 of Ray it waits for its proxy most of the time;
what it cannot answer in good time it refuses by itself."""


def build() -> FastAPI:
    """Builds the application, in the process of the replica: a finished one cannot be sent there.

    What comes to a replica comes from a proxy, whose end of the connection says nothing of the client: `LOSSMETER_AUTH=auto`,
    which trusts clients of the same machine, asks everybody for a key here.
    """
    from lossmeter.api.app import create_app

    settings = Settings()
    changes: dict[str, Any] = {}
    if settings.auth == "auto":
        changes["auth"] = "required"
    if "workers" not in settings.model_fields_set:
        # As many as there is room for on this node: threads, memory and GPUs are shared by that. Ray says so by this variable.
        changes["workers"] = max(1, cpus.available() // int(os.environ.get("OMP_NUM_THREADS") or 1))
    if not settings.store_url.startswith("postgres"):
        log.warning("Runs and keys are kept on this node alone: replicas on several nodes need a LOSSMETER_STORE_URL.")
    return create_app(settings.model_copy(update=changes))


def application(**options: Any) -> Any:
    """Returns the application of Ray Serve.

    Args:
        options: of the deployment, in the place of those given here; a config file of Ray Serve changes them too.

    Raises:
        ModuleNotFoundError: the extra `ray` is not installed.
    """
    serve = imported("ray.serve")

    class Lossmeter:
        """Is called by Ray Serve through the application alone."""

    chosen = {
        "name": "lossmeter",
        "max_ongoing_requests": MAX_ONGOING_REQUESTS,
        "ray_actor_options": {"num_cpus": 1},
        "graceful_shutdown_timeout_s": Settings.model_fields["grace_seconds"].default,
        **options,
    }
    return serve.deployment(**chosen)(serve.ingress(build)(Lossmeter)).bind()
