"""Watching the service: what is counted, how workers add it up, logs, traces, readiness, and the pulse of the event loop."""
