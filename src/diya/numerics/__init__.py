"""Algorithms over numpy arrays that numpy lacks."""
