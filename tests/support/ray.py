"""Ray on a machine that does other things too."""

from __future__ import annotations


def patient_ray() -> dict[str, str]:
    """Variables of a cluster of this machine that waits longer than usual for its processes, and reports to nobody."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_register_timeout_seconds": "240",
        "RAY_gcs_server_port_wait_time_s": "240",
    }
