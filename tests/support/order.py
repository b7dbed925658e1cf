"""The order of files: what takes longest begins first, so that no process of tests is left alone with it in the end."""

from __future__ import annotations

LONGEST = (
    "serving/test_workers.py",
    "web/test_console.py",
    "serving/test_attacks.py",
    "serving/test_stopping.py",
    "engine/test_programs.py",
    "losses/test_losses.py",
    "engine/test_compute.py",
    "api/test_every_loss.py",
    "api/test_fuzzing.py",
    "serving/test_connections.py",
    "engine/test_plans.py",
    "cli/test_commands.py",
    "api/test_tracing.py",
    "examples/test_ci.py",
    "examples/test_tutorials.py",
    "web/test_accessibility.py",
    "web/test_chinese.py",
    "runs/test_crashes.py",
    "telemetry/test_metrics.py",
    "serving/test_tls.py",
    "api/test_shared_memory.py",
    "client/test_run_faults.py",
    "examples/test_command_line.py",
    "api/test_costs.py",
    "wire/test_json.py",
    "losses/test_costs.py",
    "web/test_evaluation.py",
    "runs/test_outages.py",
    "metrics/test_confidence.py",
    "web/test_many_runs.py",
    "contracts/test_generated.py",
    "security/test_answers.py",
    "telemetry/test_logs.py",
)
"""Files of ten seconds and more."""


def place(nodeid: str) -> int:
    """The place of a test in the order; those of a file have one, and so stay together."""
    file = nodeid.partition("::")[0].removeprefix("tests/")
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)
