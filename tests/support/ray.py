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
    "RAY_raylet_start_wait_time_s": "10",  # in one go, after which `be_patient` looks at the raylet and asks again
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_initial_delay_ms": "60000",
    "RAY_health_check_timeout_ms": "30000",
    "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT": "300",
    "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",  # so that both replicas are asked, few as the requests are
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "300",
}
"""Of a cluster of this machine that waits longer than usual for its processes, and reports to nobody."""
AGENTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
START_SECONDS = 600.0
STARTS = 3
"""Of a node, at most."""


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


def add_node(cluster: Any, **options: Any) -> Any:
    """Adds a node to a `ray.cluster_utils.Cluster`, and another one in its place if Ray ends it while it starts.

    A raylet ends itself if its agents do not say within 15 seconds, by files, which ports they have. It is given the ports,
    which are kept free until the agents listen there; that of the dashboard's agent Ray 2.60 does not hand on to it, so
    that `be_patient` writes its file.
    """
    for left in reversed(range(STARTS)):
        try:
            with ExitStack() as reserved:
                ports = [reserved.enter_context(reserve_port()).getsockname()[1] for _ in AGENTS]
                return cluster.add_node(include_dashboard=False, **dict(zip(AGENTS, ports, strict=True)), **options)
        except NodeEnded:
            if not left:
                raise
    raise AssertionError


class NodeEnded(Exception):
    """Ray has ended a node that it was starting."""


def be_patient() -> None:
    """Lets nodes and proxies take longer to start than the half minute and minute that Ray gives them whatever it is told."""
    from ray._private import services
    from ray._private.node import Node
    from ray._raylet import persist_port

    if client := sys.modules.get("ray.serve._private.client"):
        client.HTTP_PROXY_TIMEOUT = START_SECONDS  # type: ignore[attr-defined]

    start = Node.start_ray_processes

    def started(node: Any) -> None:
        if port := node.dashboard_agent_listen_port:
            persist_port(node.get_session_dir_path(), node.node_id, "dashboard_agent_listen_port", port)
        start(node)
        (raylet,) = node.all_processes["raylet"]
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                services.get_node(node.gcs_address, node.node_id)
            except RuntimeError:
                if (status := raylet.process.poll()) is not None:
                    node.kill_all_processes(check_alive=False)
                    message = f"the raylet ended with {status}; its log is in {node.get_logs_dir_path()}"
                    raise NodeEnded(message) from None
            else:
                return

    Node.start_ray_processes = started
