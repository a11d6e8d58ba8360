"""Algorithms over several processes, of which there are none."""
