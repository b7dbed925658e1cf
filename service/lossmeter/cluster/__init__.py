"""Ray, behind the extra `ray`: the service as a deployment of Ray Serve, and evaluations by Ray Data.

serve run lossmeter.cluster:app
RayRunner().report(dataset, columns, plan)
"""

from __future__ import annotations

from typing import Any

from lossmeter.cluster.runner import RayRunner

__all__ = ["RayRunner", "app"]


def __getattr__(name: str) -> Any:
    """Makes `app`, the application of Ray Serve, when somebody asks for it: only that needs Ray."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lossmeter.cluster.deployment import application

    return application()
