"""How requests are worked on: who is let in, in which order, in which thread, together with whom."""
