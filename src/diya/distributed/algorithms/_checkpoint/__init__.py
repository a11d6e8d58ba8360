"""Modules that are computed again in backward: see `torch.utils.checkpoint`."""
