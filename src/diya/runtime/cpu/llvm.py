"""LLVM, through llvmlite: a module's text in; its optimised text, assembly or object code out.

The only file that touches `llvmlite.binding`; it is imported when something has to be compiled. Every call works in an
LLVM context of its own, so calls from several threads run in parallel.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

from .features import Target

# The emitter writes loops, vectors and tiles as they should be. Of LLVM's passes only these pay: the whole -O2 pipeline
# took 13 times as long on the kernels of a convolutional network, and they ran no faster.
PASSES = (
    "always_inliner",  # small helpers of a module become part of its kernels
    "sroa",  # variables on the stack become values
    "instruction_combine",  # index arithmetic with known strides folds away
    "simplify_cfg",  # empty and duplicate blocks go
    "global_dead_code_eliminate",  # helpers that were inlined
)
CODEGEN = 2
PIPELINE = f"{PASSES} {CODEGEN}"  # part of the key of compiled code


class _Gate:
    """Counts the compiles that run, so that a fork can wait until there is none: a child that inherits LLVM's locks
    from a thread in the middle of one would never get them."""

    def __init__(self):
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._close, after_in_parent=self._open, after_in_child=self._reset)

    def _reset(self) -> None:
        self._changed, self._running, self._open_ = threading.Condition(), 0, True

    def __enter__(self):
        with self._changed:
            self._changed.wait_for(lambda: self._open_)
            self._running += 1

    def __exit__(self, *_):
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self._open_ = False
            self._changed.wait_for(lambda: self._running == 0)

    def _open(self) -> None:
        with self._changed:
            self._open_ = True
            self._changed.notify_all()


_gate = _Gate()


class CompileError(RuntimeError):
    """LLVM refused a module: a bug of the emitter. The message has LLVM's words and the module's text."""


def object_code(text: str, target: Target) -> bytes:
    """The relocatable ELF object of a module."""
    with _module(text, target) as (module, machine):
        _optimise(module, machine)
        return _emit(module, machine, as_object=True)


def assembly(text: str, target: Target) -> str:
    """The assembly of a module after optimisation, for the host or any other target that LLVM was built with."""
    with _module(text, target) as (module, machine):
        _optimise(module, machine)
        return _emit(module, machine, as_object=False).decode()


def optimised(text: str, target: Target) -> str:
    """The text of a module after LLVM's passes."""
    with _module(text, target) as (module, machine):
        _optimise(module, machine)
        return str(module)


def verify(text: str, target: Target) -> None:
    """Raises CompileError unless LLVM accepts the module."""
    with _module(text, target):
        pass


@contextmanager
def _module(text: str, target: Target):
    """The verified module of a text, in a context of its own, and a machine to compile it for."""
    with _gate:
        yield from _parsed(text, target)


def _parsed(text: str, target: Target):
    import llvmlite.binding as llvm

    _initialise(target.arch)
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=CODEGEN, reloc="pic", codemodel="small")
    text = f'target triple = "{target.triple}"\ntarget datalayout = "{machine.target_data}"\n{text}'
    with machine, llvm.create_context() as context:
        try:
            module = llvm.parse_assembly(text, context)
        except RuntimeError as error:
            raise CompileError(f"{error}\n{_numbered(text)}") from None
        with module:
            try:
                module.verify()
            except RuntimeError as error:
                raise CompileError(f"{error}\n{_numbered(text)}") from None
            yield module, machine


def _optimise(module, machine) -> None:
    import llvmlite.binding as llvm

    passes = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    options = llvm.create_pipeline_tuning_options()
    with options, llvm.create_pass_builder(machine, options) as builder:
        _unlocked("LLVMPY_RunNewModulePassManager")(passes, module, builder)


def _emit(module, machine, as_object: bool) -> bytes:
    from ctypes import string_at

    from llvmlite.binding import ffi

    with ffi.OutputString() as error:
        memory = _unlocked("LLVMPY_TargetMachineEmitToMemory")(machine, module, int(as_object), error)
        if not memory:
            raise CompileError(str(error))
    try:
        return string_at(ffi.lib.LLVMPY_GetBufferStart(memory), ffi.lib.LLVMPY_GetBufferSize(memory))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


def _unlocked(name: str):
    """A function of llvmlite's library without llvmlite's global lock, which would make threads compile in turn. LLVM
    itself needs none between contexts, and the two calls made so are the ones that take the time."""
    from llvmlite.binding import ffi

    function = getattr(ffi.lib, name)
    return getattr(function, "_cfn", function)


_ready: set[str] = set()


def _initialise(arch: str) -> None:
    """Registers the back end of an architecture; only the host's unless another one is asked for."""
    import llvmlite.binding as llvm

    if arch in _ready:
        return
    if arch == llvm.get_process_triple().partition("-")[0].replace("arm64", "aarch64"):
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    _ready.add(arch)


def _numbered(text: str) -> str:
    return "\n".join(f"{i:4} {line}" for i, line in enumerate(text.splitlines(), 1))
