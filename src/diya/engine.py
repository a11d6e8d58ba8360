"""Recording and running: operations append nodes; a flush runs all that is pending and alive as one program.

``record`` infers, raises at once, and appends. ``flush`` (an observation, ``optimizer.step()``, a bound on what is
pending) turns the pending nodes that somebody still needs into a program (see `diya.structure`); the first time a program is
met it is interpreted, later it runs compiled (see ``Tier``).
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]  # what `signal` wraps; the wrapper's conversions would cost more than a small program
import os
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from math import prod
from typing import Any

from . import background, interpret
from .bounded import Bounded
from .counters import counters
from .dtypes import dtype as DType
from .familiar import Likeness
from .graph import LEAF, SCALAR, Graph, LocatedNode, Node, Primitive, Signature, Type, type_of
from .runtime.blas import Threads
from .runtime.buffer import Buffer, after_a_first_run
from .structure import MAX_RUNS, Run, Trace, dying, held_outside, structure, work_out

MAX_PENDING = 8192             # nodes; a loop that observes nothing is flushed here
MAX_PENDING_BYTES = 256 << 20  # bytes of data made since the last flush, which pending nodes may hold
MAX_SIGNATURES = 1 << 17
LARGE_VIEW = 1 << 14            # elements from which on copying a view is compiled
MAX_PROGRAM_NODES = 50_000      # of all programs in the cache together: some 100 MB
MAX_TRACE_NODES = 100_000       # of all structures in the cache together: some 20 MB
PATIENCE = 2                    # meetings of a program of little work, before compiling it pays
LITTLE, LITTLE_NODES = 1 << 17, 256  # its work, and its nodes
PLANNING = 60_000               # ns by which compiling a node takes longer than interpreting it, though its kernel is there

_SIGINT = _signal.SIGINT
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread that stays in the parent
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_pending: list[Node] = []
_new = object.__new__
_made_bytes = 0
_flushes = 0
_folded = 0  # nodes inside of pending calls
_signatures: dict[tuple, Signature] = {}
_scalar_signatures: dict[DType, Signature] = {}
_leaf_signatures: dict[Type, Signature] = {}
_package = os.path.dirname(os.path.abspath(__file__)) + os.sep


def signature(op: Primitive, attrs, inputs) -> Signature:
    """The interned signature of an application; infers its type, raising for wrong input, the first time."""
    key = (op, attrs, *[n.type for n in inputs])
    found = _signatures.get(key)
    if found is None:
        type = op.infer(attrs, *[n.type for n in inputs])
        if op.name != "view":
            check_size(type)
        found = Signature(op, attrs, type)
        if len(_signatures) >= MAX_SIGNATURES:
            _signatures.clear()
        _signatures[key] = found
    return found


class OutOfMemoryError(RuntimeError, MemoryError):
    """A tensor larger than this machine's memory is asked for."""


_memory: int | None = None


def check_size(type) -> None:
    """Raises OutOfMemoryError for a value that this machine cannot hold, at the line that asks for it."""
    global _memory
    for t in type if isinstance(type, tuple) else (type,):
        if t.nbytes > 1 << 30:
            if _memory is None:
                try:
                    _memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
                except (AttributeError, ValueError, OSError):
                    _memory = 1 << 46
            if t.nbytes > _memory:
                raise OutOfMemoryError(f"can't allocate memory: you tried to allocate {t.nbytes:,} bytes for a tensor of size "
                                       f"{list(t.shape)} and dtype {t.dtype.name}; this machine has {_memory:,}")


def append(op: Primitive, inputs: tuple[Node, ...], attrs=None) -> Node:
    """Appends ``op(*inputs)`` to what is pending and returns its node. Raises what the primitive's inference raises."""
    if batched and not batched.isdisjoint(map(id, inputs)):
        return apply_batched(op, inputs, attrs)
    if len(inputs) == 2:
        a, b = inputs
        sig = _signatures.get((op, attrs, a.type, b.type)) or signature(op, attrs, inputs)
    else:
        sig = _signatures.get((op, attrs, *[n.type for n in inputs])) or signature(op, attrs, inputs)
    if op.faults or debug_lines:
        node = LocatedNode(sig, inputs, user_line())
    else:
        node = _new(Node)  # spelled out: a call of __init__ would cost as much again
        node.signature = sig
        node.type = sig.type
        node.inputs = inputs
        node.value = None
    _pending.append(node)
    return node


# Values with batch dimensions that the program does not see: see diya.func.batching.
batched: set[int] = set()  # ids of the nodes that are alive
apply_batched: Any = None
replay_batched: Any = None
check_batched_write: Any = None


class DataDependent(RuntimeError):
    """A value was asked for inside of vmap, where there is one for each element of the batch."""


def carries_batch(nodes) -> bool:
    """Whether some of the nodes are values inside of ``vmap``."""
    return bool(batched) and not batched.isdisjoint(map(id, nodes))


def append_known(sig: Signature, inputs: tuple[Node, ...]) -> Node:
    """``append`` for a signature that is known, of an operation that cannot fail."""
    if batched and not batched.isdisjoint(map(id, inputs)):
        return apply_batched(sig.op, inputs, sig.attrs)
    node = _new(Node)
    node.signature = sig
    node.type = sig.type
    node.inputs = inputs
    node.value = None
    _pending.append(node)
    if len(_pending) > MAX_PENDING:
        flush(keep_views=False)
    return node


def record(op: Primitive, inputs: tuple[Node, ...], attrs=None) -> Node:
    """``append``, and a flush where there is reason for one: much is pending, or an operand is volatile."""
    global volatile
    node = append(op, inputs, attrs)
    if volatile or len(_pending) > MAX_PENDING:
        volatile = False
        flush(keep_views=False)
    return node


def extend(nodes: list[Node], folded: int) -> None:
    """Appends nodes that were made elsewhere, in topological order; ``folded`` nodes more are inside of one of them."""
    global _folded
    if len(_pending) + _folded > MAX_PENDING:
        flush(keep_views=False)  # not after: whoever made a call still holds it, as if somebody wanted it
    _pending.extend(nodes)
    _folded += folded


def position() -> tuple[int, int]:
    """Where recording stands: for `recorded_since`."""
    return _flushes, len(_pending)


def recorded_since(position: tuple[int, int]) -> list[Node] | None:
    """What was appended since then, or None if some of it has run."""
    flushes, start = position
    return _pending[start:] if flushes == _flushes else None


def discard(position: tuple[int, int], never: set[Node]) -> None:
    """Takes away what was recorded since then from values that never come to be."""
    kept = []
    for n in _pending[position[1]:]:
        if never.isdisjoint(n.inputs):
            kept.append(n)
        else:
            never.add(n)
    _pending[position[1]:] = kept


# Values that a view of them must name as its operand, though it could name theirs: the inputs of what is being captured
# (see recording.py).
sealed: frozenset[Node] = frozenset()

# Set when an operand's memory may change behind our back before a flush (large exported memory, see storage.py): the
# operation that reads it then runs at once.
volatile = False


class NotCapturable(BaseException):
    """Raised while a function is captured (see diya.capture): it does more than compute tensors. Says what, and where."""

    def __init__(self, reason: str, place: str = ""):
        super().__init__(reason)
        self.place = place

    def __str__(self):
        return f"{self.args[0]} ({self.place})" if self.place else str(self.args[0])


def unknown(positions, check: Callable) -> None:
    """``positions``, a tensor, cannot be checked at the user's line, as they are not known yet. Of a captured call they are known
    when it is made: ``check(tensor)`` raises then for those that come from outside."""
    if watching is not None:
        watching.note_check(positions, check, True)
    if capturing is not None:
        capturing.checked_later(positions, check)


# Who watches the call of an operator, to record it again without its Python (see diya.ops.again), while its thread holds the lock.
# What another thread does meanwhile can only make the call seem to depend on more.
watching: Any = None


def looked() -> None:
    """What is recorded now depends on a value, on whether one is known, or on chance: other calls may record other things."""
    if watching is not None:
        watching.looked = True


def checked(tensor, check: Callable, needed: bool = True) -> None:
    """Does ``check(tensor)``, which raises for values that are wrong, if they are known. ``needed``: whether what is recorded
    depends on their being known."""
    global watching
    known = isinstance(tensor._storage.node.value, Buffer)
    watch = watching
    if watch is None or watch.thread != threading.get_ident():
        if known:
            check(tensor)
        return
    watching = None
    try:
        if known:
            check(tensor)
    finally:
        watching = watch
    watch.note_check(tensor, check, needed)


drawing: Any = None    # who draws random numbers instead of the generators: the session, or a call that is made again
capturing: Any = None  # the session, while a function is captured by the thread that holds the lock: nothing runs then

debug = int(os.environ.get("DIYA_DEBUG", "0") or 0)  # 1..7: how many stages of each program are printed
debug_lines = debug > 0                              # keep the user's line with every node


forward_line: tuple[str, int, str] | None = None  # while backward runs the rule of an operation that keeps its line: that


def user_line() -> tuple[str, int, str] | None:
    """(file, line, function) of the innermost frame outside diya; in backward, of the operation that is differentiated."""
    if forward_line is not None:
        return forward_line
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_package):
        frame = frame.f_back
    if frame is None:
        return None
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


def scalar(value, dtype: DType) -> Node:
    """A Python number as a 0-dim operand: an argument of the program, never part of its code."""
    sig = _scalar_signatures.get(dtype)
    if sig is None:
        sig = _scalar_signatures.setdefault(dtype, Signature(SCALAR, None, type_of((), dtype)))
    node = _new(Node)
    node.signature = sig
    node.type = sig.type
    node.inputs = ()
    node.value = value
    return node


def leaf(buffer: Buffer, type: Type) -> Node:
    """A materialised value."""
    global _made_bytes
    if _pending:
        _made_bytes += buffer.nbytes
        if _made_bytes > MAX_PENDING_BYTES:
            flush()
    node = Node(leaf_signature(type), type, (), buffer)
    if capturing is not None:
        capturing.leaves.add(node)
    if watching is not None:
        watching.constants.add(node)
    return node


def leaf_of(base: Node, offset: int, type: Type) -> Node:
    """A leaf that is ``type`` of a materialised node's memory from element ``offset`` on. Which part it is stays out of
    programs' keys: the next batch of a data set is the same program."""
    return Node(leaf_signature(type), type, (), base.value.part(offset * type.dtype.itemsize, type.nbytes))


def observe(node: Node) -> Buffer:
    """The node's buffer, running what is pending if it has none yet. Raises what running it raised."""
    if watching is not None:
        watching.looked = True
    value = node.value
    if value is None:
        if capturing is not None:
            with _lock:
                if capturing is not None:
                    raise NotCapturable("looks at the value of a tensor")
        if batched and id(node) in batched:
            raise DataDependent("vmap: the value of a tensor was asked for inside of vmap, where it has one for each element of "
                                "the batch (.item(), .tolist(), .numpy(), or control flow that depends on data): use "
                                "torch.where and the like instead. Or, outside of vmap, that of a tensor to which such a "
                                "value was written inside of it (running statistics of a batch norm, say): return it instead")
        flush(node)
        value = node.value
    if isinstance(value, Buffer):
        return value
    if isinstance(value, BaseException):
        raise value.with_traceback(None)
    return Buffer.of(interpret.scalar_array(value, node.type))


listeners: list = []  # each is called with the graph of every program that runs


class Program:
    """What is known of one key: its graph, how often it was met, and its compiled form once there is one."""

    __slots__ = ("graph", "met", "compiled", "job", "native", "work", "likeness")

    def __init__(self, graph: Graph):
        self.graph, self.met = graph, 0
        self.compiled: Any = None  # False if the compiler failed
        self.job: background.Job | None = None
        # Whether any of it would run as native code at all, and is worth it: copies of views are, if they are large.
        self.native = any(n.op.kind in ("elementwise", "reduce", "contract", "index", "scan") or
                          n.op.kind == "view" and n.type.numel >= LARGE_VIEW for n in graph.code)  # pyright: ignore[reportAttributeAccessIssue]
        self.work = _work(graph)
        self.likeness = Likeness(graph)

    def worth_compiling(self, observed: bool) -> bool:
        """``observed``: somebody looks at a value, so that Python may take another way each time, with other sizes."""
        if not self.native:
            return False
        if observed and self.work <= LITTLE and len(self.graph.code) <= LITTLE_NODES:
            return self.met > PATIENCE
        return self.met > 1 or self.work > PLANNING * len(self.graph.code) and self.likeness.familiar(observed)


def _work(graph: Graph) -> int:
    """Roughly how many ns of numpy's a graph is, but for the calls themselves."""
    return sum([prod(n.attrs.sizes) // 25 if n.op.kind == "contract" else n.type.numel if isinstance(n.type, Type) else LITTLE
                for n in graph.code if n.inputs])


_programs = Bounded(MAX_PROGRAM_NODES)
_traces = Bounded(MAX_TRACE_NODES)


def flush(wanted: Node | None = None, keep_views: bool = True) -> None:
    """Runs all pending work that somebody still needs, as one program.

    ``wanted`` is a node whose value must be there afterwards (a pending view would otherwise stay one). Raises the
    first exception of a node that failed (for want of memory, too); values that do not depend on it are computed all
    the same. A KeyboardInterrupt leaves everything pending, so the process stays usable.
    """
    global _made_bytes, _flushes, _folded
    with _lock:
        if wanted is not None and wanted.value is not None:
            return  # another thread's flush made it
        if capturing is not None:
            return
        count = len(_pending)
        nodes = _pending[:count]
        del _pending[:count]
        _flushes += 1
        _folded = 0
        if _failed:  # views that stayed pending, of what has failed since
            _poison(nodes)
            nodes = [n for n in nodes if n.value is None]
            if wanted is not None and wanted.value is not None:
                _pending[:0] = nodes
                return
        _made_bytes = 0
        if not nodes:
            if wanted is not None and wanted.value is None:
                raise RuntimeError("internal error: a value is wanted that was never recorded; please report this")
            return
        counters.nodes_recorded += count
        _run(nodes, wanted, keep_views)


_AS_IT_IS = nullcontext()
_failed = False  # whether any node ever failed: only then need a flush look for what a failure poisons


def _run(nodes: list[Node], wanted: Node | None, keep_views: bool) -> None:
    global _failed
    key, leaves = structure(nodes, wanted, keep_views)
    trace = _traces.get(key)
    if trace is None:
        trace = Trace(nodes, leaves)
        _traces.put(key, trace, len(nodes))
    what = held_outside(nodes, trace), dying(leaves, trace)
    run = trace.runs.get(what)
    if run is None:
        if len(trace.runs) >= MAX_RUNS:
            trace.runs.clear()
        run = trace.runs[what] = work_out(nodes, leaves, *what, wanted, keep_views, _program)
    elif run.outputs:
        counters.cache_hits += 1
    if run.deferred:
        _pending.extend([nodes[i] for i in run.deferred])
    if not run.outputs:
        return
    try:
        # Once a program writes over its arguments it must not be run again: an interrupt waits.
        with InterruptsWait() if run.donates else _AS_IT_IS:
            results = run_program(run.program, [leaves[k].value for k in run.arguments], wanted is not None)
            values = iter(results)
            for i in run.outputs:
                n = nodes[i]
                n.value, n.inputs = next(values), ()
    except BaseException as error:
        if nodes[run.outputs[-1]].value is None:
            if isinstance(error, Exception):  # of no one instruction (a number of the wrong kind, say): it would come again
                _failed = True
                for i in run.outputs:
                    nodes[i].value, nodes[i].inputs = error, ()
            else:
                for i in run.deferred:
                    _pending.remove(nodes[i])
                _pending[:0] = nodes
        raise
    counters.flushes += 1
    counters.nodes_run += run.live
    for i in run.outputs:
        if isinstance(nodes[i].value, BaseException):
            _failed = True
            raise describe_fault(nodes[i].value)


def planned(results: list[Node], given: list[Node]) -> tuple[Run, list[Node]]:
    """The run that a flush would be now if it gave ``results`` alone and might write over ``given``, and its leaves."""
    with _lock:
        nodes, wanted, taken = _pending[:], {id(n) for n in results}, {id(n) for n in given}
        _, leaves = structure(nodes, None, True)
        dying = tuple([k for k, x in enumerate(leaves) if id(x) in taken and x.signature.op is not SCALAR])
        return work_out(nodes, leaves, tuple([id(n) in wanted for n in nodes]), dying, None, True, _program), leaves


def run_alone(run: Run, arguments: list) -> list:
    """Runs a program that is known, while nothing is pending. Results are Buffers, or exceptions."""
    results = run_program(run.program, arguments, False)
    counters.flushes += 1
    counters.nodes_run += run.live
    counters.cache_hits += 1
    return results


def _program(key: tuple, graph: Callable[[], Graph]) -> Program:
    program = _programs.get(key)
    if program is not None:
        counters.cache_hits += 1
        return program
    made = graph()
    program = Program(made.verify() if checks else made)
    _programs.put(key, program, len(made.code))
    counters.programs_met += 1
    return program


class Lines:
    """``with Lines()`` keeps the user's line with every node that is recorded in the block. Its programs are apart from those
    that were met without lines, since lines are no part of a program's key."""

    def __enter__(self):
        self.swap(True, Bounded(MAX_PROGRAM_NODES), Bounded(MAX_TRACE_NODES))
        return self

    def swap(self, lines: bool, programs: Bounded, traces: Bounded) -> None:
        global debug_lines, _programs, _traces
        try:
            flush()
        finally:
            with _lock:
                self.before = debug_lines, _programs, _traces
                debug_lines, _programs, _traces = lines, programs, traces

    def __exit__(self, *_):
        self.swap(*self.before)


class InterruptsWait:
    """Holds back a KeyboardInterrupt (which only the main thread gets) until the block is left."""

    __slots__ = ("came", "previous")

    def __enter__(self):
        self.came: list = []
        self.previous = None
        if threading.current_thread() is threading.main_thread():
            previous = _signal.getsignal(_SIGINT)
            if callable(previous):
                self.previous = previous
                _signal.signal(_SIGINT, self.note)

    def note(self, *args):
        self.came.append(args)

    def __exit__(self, *_):
        if self.previous is not None:
            _signal.signal(_SIGINT, self.previous)
            if self.came:
                self.previous(*self.came[0])


def _poison(nodes: list[Node]) -> None:
    """What reads a value that failed fails with it."""
    for n in nodes:
        for x in n.inputs:
            if isinstance(x.value, BaseException):
                n.value, n.inputs = x.value, ()
                break


def leaf_signature(type: Type) -> Signature:
    return _leaf_signatures.get(type) or _leaf_signatures.setdefault(type, Signature(LEAF, None, type))


def describe_fault(error: BaseException) -> BaseException:
    """The error with the user's line that recorded the failing operation in its message."""
    where = getattr(error, "diya_where", None)
    if where is not None and not getattr(error, "diya_described", False):
        error.args = (f"{error}\n  recorded at {where[0]}:{where[1]}, in {where[2]}",)
        error.diya_described = True  # type: ignore[attr-defined]
    return error


checks = bool(int(os.environ.get("DIYA_VERIFY", "0") or 0))


# -- tiers -------------------------------------------------------------------------------------------------------------

class Tier:
    """``with Tier(0)`` interprets everything in the block, ``Tier(1)`` compiles at the first meeting; ``DIYA_TIER``
    does it for the process. Unpinned (None), history decides: interpreted when first met (unless it is like a program that
    was met before: see `diya.familiar`), compiled from then on; later where that is little work (see ``PATIENCE``)."""

    pinned: int | None = {"": None, "0": 0, "1": 1}[os.environ.get("DIYA_TIER", "")]

    def __init__(self, tier: int | None):
        if tier not in (0, 1, None):
            raise ValueError(f"tier is 0 (interpret), 1 (compile) or None (by history), got {tier!r}")
        self.tier = tier

    def __enter__(self):
        flush()
        self.previous, Tier.pinned = Tier.pinned, self.tier
        return self

    def __exit__(self, *_):
        try:
            flush()
        finally:
            Tier.pinned = self.previous


_compiler: Any = None  # the compiler's entry; False where llvmlite is not installed


def compiler():
    """``compile_graph``, or None where llvmlite is absent. Imported at the first use."""
    global _compiler
    if _compiler is None:
        from importlib.util import find_spec
        if find_spec("llvmlite") is None:
            _compiler = False
        else:
            from .compiler.pipeline import compile_graph
            _compiler = compile_graph
    return _compiler or None


def run_program(program: Program, arguments: list, observed: bool) -> list:
    """Runs a program on the tier that its history says (never the clock). Outputs are Buffers, or an exception."""
    program.met += 1
    for listener in listeners:
        listener(program.graph)
    tier = Tier.pinned
    if tier is None:
        tier = 1 if program.worth_compiling(observed) else 0
        if program.met == 1 and tier == 0 and not observed and program.native and compiler() is not None \
                and not program.likeness.familiar(False):
            # A step of a loop: it will come again, and its code is made meanwhile.
            program.likeness.note()
            program.job = background.submit(lambda: _compile(program))
    if tier == 1 and program.compiled is None and compiler() is not None:
        job, program.job = program.job, None
        program.likeness.note()
        try:
            program.compiled = job.result() if job is not None else _compile(program)
        except Exception as error:
            import warnings
            program.compiled = False
            warnings.warn(f"diya's compiler failed on a program of {len(program.graph.code)} nodes, which runs interpreted "
                          f"(slowly) from now on; please report this: {type(error).__name__}: {error}", RuntimeWarning,
                          stacklevel=2)
    if tier == 1 and program.compiled:
        counters.programs_run_compiled += 1
        try:
            return program.compiled.run(arguments)
        except MemoryError:
            pass  # arguments are whole: the interpreter finds what is too large, and computes the rest
    counters.programs_interpreted += 1
    with Threads(1):
        results = interpret.run(program.graph, arguments)
    if program.met == 1:
        after_a_first_run()
    return results


def _compile(program: Program):
    compile_graph = compiler()
    assert compile_graph is not None
    compiled = compile_graph(program.graph)
    counters.programs_compiled += 1
    if debug:
        from .explanation import show
        show(program, compiled, debug)
    return compiled
