"""Tells what the service does: counters, figures for Prometheus, logs, readiness. Knows no HTTP."""
