"""Ray on a machine that does other things too."""

from __future__ import annotations

import sys
import time
from typing import Any

VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_initial_delay_ms": "60000",
    "RAY_health_check_timeout_ms": "30000",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "300",
}
"""Of a cluster of this machine that waits longer than usual for its processes, and reports to nobody."""
START_SECONDS = 600.0


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
