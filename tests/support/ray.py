"""Ray on a machine that does other things too."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmeter.wire.datasets import Part
from lossmeter.wire.tables import Chunk, Columns
from tests.support.ports import reserve_port

VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_initial_delay_ms": "60000",
    "RAY_health_check_timeout_ms": "30000",
    "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",  # so that both replicas are asked, few as the requests are
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "300",
}
"""Of a cluster of this machine that waits longer than usual for its processes, and reports to nobody."""
AGENTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
START_SECONDS = 600.0


@dataclass(frozen=True)
class Held:
    """A part of a dataset that notes where it is read, and on one node is never done.

    Attributes:
        part: which one.
        number: of it.
        folder: of the notes, which are named by the number and the node.
        node: the one on which it does not end.
    """

    part: Part
    number: int
    folder: Path
    node: str

    @property
    def name(self) -> str:
        return self.part.name

    def read(self, columns: Columns) -> Generator[Chunk, None, None]:
        """Reads the rows, unless this is that node."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        (self.folder / f"{self.number}-{here}").touch()
        if here == self.node:
            time.sleep(START_SECONDS)
        yield from self.part.read(columns)


def agent_ports() -> dict[str, int]:
    """Ports of the agents of a node: chosen by them, the node ends if they take longer than some seconds to say which."""
    with ExitStack() as reserved:
        ports = [reserved.enter_context(reserve_port()).getsockname()[1] for _ in AGENTS]
    return dict(zip(AGENTS, ports, strict=True))


def be_patient() -> None:
    """Lets nodes and proxies take longer to start than the half minute and minute that Ray gives them whatever it is told."""
    from ray._private import services

    if client := sys.modules.get("ray.serve._private.client"):
        client.HTTP_PROXY_TIMEOUT = START_SECONDS  # type: ignore[attr-defined]

    known = services.get_node

    def patient(*arguments: Any) -> Any:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                return known(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    services.get_node = patient
