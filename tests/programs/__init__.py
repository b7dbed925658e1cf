"""Programs, not tests: each runs for minutes by a make target of its own, and writes down what it found."""
