"""Schedules work: admits requests by their cost, queues them, runs them in time, in threads or batches. Knows no HTTP."""
