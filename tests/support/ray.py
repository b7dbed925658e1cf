"""Ray on a machine that does other things too."""

from __future__ import annotations

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
}
"""Of a cluster of this machine that waits longer than usual for its processes, and reports to nobody."""
START_SECONDS = 300.0


def wait_for_nodes() -> None:
    """Lets nodes take longer to start than the thirty seconds that Ray gives them whatever it is told."""
    from ray._private import services

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
