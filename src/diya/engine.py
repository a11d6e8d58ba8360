"""Recording and running: operations append nodes; a flush runs all that is pending and alive as one program.

``record`` infers, raises at once, and appends. ``flush`` (an observation, ``optimizer.step()``, a bound on what is
pending) turns the pending nodes into a program: which nodes somebody still holds is read off their reference counts,
so dropping a tensor is all it takes to drop its work. The program's key is the ids of its signatures and the
positions of its operands; the first time a key is met the program is interpreted, from the second time on it runs
compiled (see ``Tier``).
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]  # what `signal` wraps; the wrapper's conversions would cost more than a small program
import os
import sys
import threading
from collections import OrderedDict
from contextlib import contextmanager, nullcontext
from sys import getrefcount
from typing import Any

from . import background, interpret
from .counters import counters
from .dtypes import dtype as DType
from .graph import LEAF, PRIMITIVES, SCALAR, Graph, Instruction, Node, Primitive, Signature, Type, type_of
from .runtime.buffer import Buffer

MAX_PENDING = 8192             # nodes; a loop that observes nothing is flushed here
MAX_PENDING_BYTES = 256 << 20  # bytes of data made since the last flush, which pending nodes may hold
MAX_SIGNATURES = 1 << 17
MAX_PROGRAM_NODES = 50_000      # of all programs in the cache together: some 100 MB

# What getrefcount says of an object that only a list (or attribute) holds, and of a loop's variable over such a list.
_box = [object()]
IN_LIST = getrefcount(_box[0])
for _x in [object()]:
    IN_LOOP = getrefcount(_x)
del _x, _box

_SIGINT = _signal.SIGINT
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread that stays in the parent
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_pending: list[Node] = []
_made_bytes = 0
_signatures: dict[tuple, Signature] = {}
_scalar_signatures: dict[Type, Signature] = {}
_leaf_signatures: dict[Type, Signature] = {}
_package = os.path.dirname(os.path.abspath(__file__)) + os.sep
VIEW: Primitive | None = None  # ops.movement puts it here: a flush may leave its nodes pending


def signature(op: Primitive, attrs, inputs) -> Signature:
    """The interned signature of an application; infers its type, raising for wrong input, the first time."""
    key = (op, attrs, *[n.type for n in inputs])
    found = _signatures.get(key)
    if found is None:
        type = op.infer(attrs, *[n.type for n in inputs])
        if op is not VIEW:
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
    sig = _signatures.get((op, attrs, *[n.type for n in inputs])) or signature(op, attrs, inputs)
    node = Node(sig, sig.type, inputs)
    node.where = user_line() if op.faults or debug_lines else None
    _pending.append(node)
    return node


def record(op: Primitive, inputs: tuple[Node, ...], attrs=None) -> Node:
    """``append``, and a flush where there is reason for one: much is pending, or an operand is volatile."""
    global volatile
    sig = _signatures.get((op, attrs, *[n.type for n in inputs])) or signature(op, attrs, inputs)
    node = Node(sig, sig.type, inputs)
    node.where = user_line() if op.faults or debug_lines else None
    _pending.append(node)
    if volatile or len(_pending) > MAX_PENDING:
        volatile = False
        flush(keep_views=False)
    return node


# Set when an operand's memory may change behind our back before a flush (large exported memory, see storage.py): the
# operation that reads it then runs at once.
volatile = False

debug = int(os.environ.get("DIYA_DEBUG", "0") or 0)  # 1..7: how many stages of each program are printed
debug_lines = debug > 0                              # keep the user's line with every node


def user_line() -> tuple[str, int, str] | None:
    """(file, line, function) of the innermost frame outside diya."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_package):
        frame = frame.f_back
    if frame is None:
        return None
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name


def scalar(value, dtype: DType) -> Node:
    """A Python number as a 0-dim operand: an argument of the program, never part of its code."""
    type = type_of((), dtype)
    sig = _scalar_signatures.get(type)
    if sig is None:
        sig = _scalar_signatures.setdefault(type, Signature(SCALAR, None, type))
    return Node(sig, type, (), value)


def leaf(buffer: Buffer, type: Type) -> Node:
    """A materialised value."""
    global _made_bytes
    if _pending:
        _made_bytes += buffer.nbytes
        if _made_bytes > MAX_PENDING_BYTES:
            flush()
    return Node(_leaf_signature(type), type, (), buffer)


def leaf_of(base: Node, offset: int, type: Type) -> Node:
    """A leaf that is ``type`` of a materialised node's memory from element ``offset`` on. Which part it is stays out of
    programs' keys: the next batch of a data set is the same program."""
    return Node(_leaf_signature(type), type, (), base.value.part(offset * type.dtype.itemsize, type.nbytes))


def observe(node: Node) -> Buffer:
    """The node's buffer, running what is pending if it has none yet. Raises what running it raised."""
    value = node.value
    if value is None:
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

    __slots__ = ("graph", "met", "compiled", "job")

    def __init__(self, graph: Graph):
        self.graph, self.met = graph, 0
        self.compiled: Any = None  # False if the compiler failed
        self.job: background.Job | None = None


_programs: OrderedDict[tuple, Program] = OrderedDict()
_programs_size = 0


def flush(wanted: Node | None = None, keep_views: bool = True) -> None:
    """Runs all pending work that somebody still needs, as one program.

    ``wanted`` is a node whose value must be there afterwards (a pending view would otherwise stay one). Raises the
    first exception of a node that failed (for want of memory, too); values that do not depend on it are computed all
    the same. A KeyboardInterrupt leaves everything pending, so the process stays usable.
    """
    global _made_bytes
    with _lock:
        if wanted is not None and wanted.value is not None:
            return  # another thread's flush made it
        count = len(_pending)
        nodes = _pending[:count]
        del _pending[:count]
        if _failed:  # views that stayed pending, of what has failed since
            nodes = [n for n in nodes if n.value is None]
        _made_bytes = 0
        if not nodes:
            if wanted is not None and wanted.value is None:
                raise RuntimeError("internal error: a value is wanted that was never recorded; please report this")
            return
        counters.nodes_recorded += count
        _run(nodes, wanted, keep_views)


_failed = False  # whether any node ever failed: only then need a flush look for what a failure poisons


def _run(nodes: list[Node], wanted: Node | None, keep_views: bool) -> None:
    global _failed
    needed, held, deferred = _liveness(nodes, wanted, keep_views)
    _pending.extend([nodes[i] for i in deferred])
    if _failed:
        _poison(nodes)
    live = [n for i, n in enumerate(nodes) if needed[i] and n.value is None]
    outputs = [n for i, n in enumerate(nodes) if held[i] and n.value is None]
    if not outputs:
        return
    key, leaves, position = _key(live, outputs)
    donated = _donated(nodes, deferred, leaves, position)
    program = _lookup((*key, 0, *donated), live, outputs, donated, position)
    try:
        # Once a program writes over its arguments it must not be run again, so an interrupt waits for its results.
        with _interrupts_wait() if donated else nullcontext():
            results = run_program(program, [x.value for x in leaves], wanted is not None)
            for n, value in zip(outputs, results, strict=True):
                n.value, n.inputs = value, ()
    except BaseException:
        if outputs[-1].value is None:
            for i in deferred:
                _pending.remove(nodes[i])
            _pending[:0] = nodes
        raise
    counters.flushes += 1
    counters.nodes_run += len(live)
    for n in outputs:
        if isinstance(n.value, BaseException):
            _failed = True
            raise describe_fault(n.value)


def _liveness(nodes: list[Node], wanted: Node | None, keep_views: bool) -> tuple[list[bool], list[bool], set[int]]:
    """Which nodes must be computed, which of them are wanted outside, and which stay pending.

    A node is held from outside if its reference count is above that of this list and the graph's own edges. Views of
    something that stays are kept as views: they are cheap to read, and copying them is not.
    """
    count = len(nodes)
    for i in range(count):
        nodes[i].index = i
    operands = [[x.index for x in n.inputs if x.value is None] for n in nodes]
    uses = [0] * count
    for reads in operands:
        for j in reads:
            uses[j] += 1
    held = [getrefcount(nodes[i]) > IN_LIST + uses[i] for i in range(count)]
    if wanted is not None and not held[wanted.index]:
        raise RuntimeError("internal error: a value is wanted that is not pending; please report this")
    deferred: set[int] = set()
    if keep_views:
        for i in range(count):
            if held[i] and nodes[i].signature.op is VIEW and nodes[i] is not wanted:
                base = nodes[i].inputs[0]
                if base.value is not None or (held[base.index] and base.index not in deferred):
                    held[i] = False
                    deferred.add(i)
    needed = list(held)
    for i in range(count - 1, -1, -1):
        if needed[i]:
            for j in operands[i]:
                needed[j] = True
    return needed, held, deferred


def _key(live: list[Node], outputs: list[Node]) -> tuple[list[int], list[Node], dict[int, int]]:
    """A program's key (ids of leaf types and signatures, positions of operands, then those of the outputs), its leaves in
    order, and the position of every node by its id()."""
    key: list[int] = []
    position: dict[int, int] = {}
    leaves: list[Node] = []
    at = 0
    for n in live:
        for x in n.inputs:
            if x.value is not None and id(x) not in position:
                position[id(x)] = at
                at += 1
                leaves.append(x)
                key.append(-x.signature.id if x.signature.op is SCALAR else -_leaf_signature(x.type).id)
        position[id(n)] = at
        at += 1
        key.append(n.signature.id)
        key += [position[id(x)] for x in n.inputs]
    key.append(0)
    key += [position[id(n)] for n in outputs]
    return key, leaves, position


def _donated(nodes: list[Node], deferred: set[int], leaves: list[Node], position: dict[int, int]) -> list[int]:
    """Positions of leaves that die with the program: it may overwrite them."""
    reads: dict[int, int] = {}
    for i, n in enumerate(nodes):
        if i not in deferred:  # a deferred view goes on reading its base
            for x in n.inputs:
                reads[id(x)] = reads.get(id(x), 0) + 1
    x = n = None
    return [position[id(x)] for x in leaves
            if isinstance(x.value, Buffer) and x.value.whole is None and getrefcount(x) <= IN_LOOP + reads.get(id(x), 0)
            and getrefcount(x.value) <= IN_LIST]


def _lookup(key: tuple, live, outputs, donated, position) -> Program:
    global _programs_size
    program = _programs.get(key)
    if program is not None:
        counters.cache_hits += 1
        _programs.move_to_end(key)
        return program
    program = _programs[key] = Program(_freeze(live, position, outputs, donated))
    counters.programs_met += 1
    _programs_size += len(program.graph.code)
    while _programs_size > MAX_PROGRAM_NODES and len(_programs) > 1:
        _programs_size -= len(_programs.popitem(last=False)[1].graph.code)
    return program


@contextmanager
def _interrupts_wait():
    """Holds back a KeyboardInterrupt (which only the main thread gets) until the block is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list = []
    previous = _signal.getsignal(_SIGINT)
    if not callable(previous):
        yield
        return
    _signal.signal(_SIGINT, lambda *args: came.append(args))
    try:
        yield
    finally:
        _signal.signal(_SIGINT, previous)
        if came:
            previous(*came[0])


def _poison(nodes: list[Node]) -> None:
    """What reads a value that failed fails with it."""
    for n in nodes:
        for x in n.inputs:
            if isinstance(x.value, BaseException):
                n.value, n.inputs = x.value, ()
                break


def _leaf_signature(type: Type) -> Signature:
    return _leaf_signatures.get(type) or _leaf_signatures.setdefault(type, Signature(LEAF, None, type))


def describe_fault(error: BaseException) -> BaseException:
    """The error with the user's line that recorded the failing operation in its message."""
    where = getattr(error, "diya_where", None)
    if where is not None and not getattr(error, "diya_described", False):
        error.args = (f"{error}\n  recorded at {where[0]}:{where[1]}, in {where[2]}",)
        error.diya_described = True  # type: ignore[attr-defined]
    return error


def _freeze(live, position, outputs, donated) -> Graph:
    code: list = [None] * len(position)
    for n in live:
        for x in n.inputs:
            if x.value is not None:
                op = SCALAR if x.signature.op is SCALAR else LEAF
                code[position[id(x)]] = Instruction(op, (), None, x.type)
        code[position[id(n)]] = Instruction(n.signature.op, tuple(position[id(x)] for x in n.inputs), n.signature.attrs,
                                            n.type, n.where)
    graph = Graph(tuple(code), tuple(position[id(n)] for n in outputs), tuple(donated))
    return graph.verify() if checks else graph


checks = bool(int(os.environ.get("DIYA_VERIFY", "0") or 0))


# -- tiers -------------------------------------------------------------------------------------------------------------

class Tier:
    """``with Tier(0)`` interprets everything in the block, ``Tier(1)`` compiles at the first meeting; ``DIYA_TIER``
    does it for the process. Unpinned (None), history decides: interpreted when first met, compiled from then on."""

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
        tier = 0 if program.met == 1 or not worth_compiling(program.graph) else 1
        if program.met == 1 and not observed and worth_compiling(program.graph) and compiler() is not None:
            # A step of a loop: it will come again, and its code is made meanwhile.
            program.job = background.submit(lambda: _compile(program))
    if tier == 1 and program.compiled is None and compiler() is not None:
        job, program.job = program.job, None
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
    return interpret.run(program.graph, arguments)


def _compile(program: Program):
    compile_graph = compiler()
    assert compile_graph is not None
    compiled = compile_graph(program.graph)
    counters.programs_compiled += 1
    if debug:
        from .explanation import show
        show(program, compiled, debug)
    return compiled


def worth_compiling(graph: Graph) -> bool:
    """Whether anything in the graph would run as native code at all."""
    return any(n.op.kind in ("elementwise", "reduce", "contract") for n in graph.code)


def lookup(name: str) -> Primitive:
    return PRIMITIVES[name]
