"""The compiler: a graph to a program of native kernels. ``pipeline`` is the line; each stage is a module."""
