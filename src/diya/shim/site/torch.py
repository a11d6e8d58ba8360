"""Replaces itself by diya: what ``import torch`` finds in a process started by a program that runs on the shim."""

from diya.shim import install

install()
