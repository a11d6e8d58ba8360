"""Modules without their initialisation."""

from __future__ import annotations

__all__ = ["skip_init"]


def skip_init(module_cls, *args, **kwargs):
    """``module_cls(*args, **kwargs)`` with its parameters left uninitialised. The generator is not touched."""
    import inspect

    import diya

    if not issubclass(module_cls, diya.nn.Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    # Without a meta device the initialisers run; the generator's state is put back so that it makes no difference.
    state = diya.get_rng_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        diya.set_rng_state(state)
