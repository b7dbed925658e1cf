"""Serves the application: processes, listeners, connections and their limits; what uvicorn leaves to us."""
