"""Processes, connections and what uvicorn leaves to us."""
