"""Losses as data: graphs of pure operations, read, measured and computed; nothing of Python can be reached from one.

A graph is a list of nodes. Each names an operation of a closed table, whose arguments the table checks by kind. Shapes and
sizes are worked out on tensors without numbers before anything runs.
"""

from lossmeter.engine.graphs.graph import Graph, Sizes
from lossmeter.engine.graphs.reading import read_graph
from lossmeter.engine.graphs.running import custom_work, run

__all__ = ["Graph", "Sizes", "custom_work", "read_graph", "run"]
