"""The operator table: one record for each operator, from which functions, methods, in-place and ``out=`` forms are made.

Two ways in, both decorators or calls that stand beside the rules:

``@operator()`` on a Python function over other operators is a whole operator (a *composite*): its signature is
PyTorch's, its gradient that of what it calls. ``@operator(grad=...)`` gives it a gradient of its own; it then runs off
the tape, and its rule (see `diya.autograd.tape`) stands for all of it.

``elementwise(...)`` and its like in the other modules make an operator over one primitive of the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from threading import Lock
from typing import Any

from .. import dtypes, engine, views
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..dtypes import dtype as DType
from ..dtypes import promote_types
from ..graph import Node, Primitive
from ..tensor import Tensor, assign, check_inplace, from_node, strided_from_node
from . import again, ruled
from .again import UNMET, remembering
from .overlap import JOINING, TYPED_BY_OUT, may_write, refuse_overlap
from .ruled import with_rule

overrides_exist = False  # whether calls may go elsewhere: a Tensor subclass overrides __torch_function__, or a mode is on
subclasses_override = False
_modes_on, _counting = 0, Lock()
_plain: set[type] = {Tensor, int, float, bool, str, type(None), DType}  # of arguments: override nothing. Subclasses join below


class Operator:
    """An operator's record. ``path`` is its public name below ``torch`` ("add", "nn.functional.relu")."""

    __slots__ = ("path", "function", "primitive", "rule", "methods", "inplace", "aliases", "out", "samples", "differentiable")

    def __init__(self, path: str, function: Callable, primitive: Primitive | None, rule: Rule | None,
                 methods: tuple[str, ...], inplace: tuple[str, ...], aliases: tuple[str, ...], out: bool,
                 samples: Callable | None, differentiable: bool):
        self.path, self.function, self.primitive, self.rule = path, function, primitive, rule
        self.methods, self.inplace, self.aliases, self.out = methods, inplace, aliases, out
        self.samples, self.differentiable = samples, differentiable

    def __repr__(self):
        return f"<operator {self.path}>"


OPERATORS: dict[str, Operator] = {}


def register(record: Operator) -> Operator:
    if record.path in OPERATORS:
        raise ValueError(f"operator {record.path!r} is defined twice")
    OPERATORS[record.path] = record
    for name in record.methods:
        setattr(Tensor, name, record.function)
    for name in record.inplace:
        setattr(Tensor, name, _inplace(record, name))
    return record


def operator(path: str | None = None, *, method: bool | str | tuple[str, ...] = True, inplace: bool = False,
             aliases: tuple[str, ...] = (), out: bool = True, grad: Any = None, inputs: tuple[str, ...] | None = None,
             node: str | None = None, samples: Callable | None = None, differentiable: bool = True,
             takes: str | None = None, again: bool = True) -> Callable:
    """Makes the decorated function an operator.

    ``path``: its public name (by default the function's); ``method``: whether it is a method too, or under which names;
    ``inplace``: whether it has an in-place form (``name_``); ``aliases``: other public names, methods and in-place
    forms too; ``out``: whether it takes ``out=``; ``grad``: its own gradient, with ``inputs`` the names of the
    differentiable tensor parameters and ``node`` its name on the tape, where that is not its own;
    ``samples``: a function that yields ``(args, kwargs)`` for the tests; ``takes``: the kinds of dtypes that its first
    argument may be of ("biufc", "l" for int64 alone, "w" for floats wider than two bytes); ``again``: whether calls like ones
    before are recorded again without the function (see `diya.ops.again`), which does not pay where it does next to nothing.
    """
    def decorate(function: Callable) -> Callable:
        name = path or function.__name__
        short = name.rpartition(".")[2]
        names = (short, *aliases) if method is True else () if not method else \
            (method,) if isinstance(method, str) else tuple(method)
        rule = None
        run = function
        if grad is not None:
            rule = Rule(node or _node_name(short), inputs or ("input",), grad)
            run = with_rule(function, rule)
        if takes is not None:
            run = _taking(short, takes, run)
        public = _public(run, name, out, remembering(run) if again else _forgotten)
        public.__wrapped__ = function  # type: ignore[attr-defined]
        if function.__name__ == "<lambda>":
            public.__name__ = public.__qualname__ = short
        register(Operator(name, public, None, rule, names, tuple(n + "_" for n in (short, *aliases)) if inplace else (),
                          aliases, out, samples, differentiable))
        return public
    return decorate


def _taking(name: str, takes: str, function: Callable) -> Callable:
    """``function``, refusing a first argument whose dtype is none that ``takes`` says."""
    taken = {d for d in dtypes.ALL if d.kind in takes or "l" in takes and d is dtypes.int64
             or "w" in takes and d.kind == "f" and d.itemsize > 2}

    @wraps(function)
    def checked(*args, **kwargs):
        x = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(x, Tensor) and x._type.dtype not in taken:
            raise NotImplementedError(f'"{name}" not implemented for \'{_long_name(x._type.dtype)}\'')
        return function(*args, **kwargs)
    return checked


def _node_name(short: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in short.split("_") if part)


def _forgotten(args: tuple, kwargs: dict):
    return UNMET


def _public(function: Callable, name: str, takes_out: bool, recall: Callable = _forgotten) -> Callable:
    """The function as users call it: with ``out=``, and the override protocol. ``recall`` may know the result (see `again`)."""
    typed: tuple | None = None

    @wraps(function)
    def call(*args, **kwargs):
        nonlocal typed
        out = None
        if kwargs:
            if not _NUMPY_NAMES.isdisjoint(kwargs):
                kwargs = _torch_names(function, kwargs)
            if takes_out:
                out = kwargs.pop("out", None)
        if overrides_exist:
            handled, result = _overridden(call, args, kwargs if out is None else {**kwargs, "out": out})
            if handled:
                return result
        if out is not None:
            refuse_overlap(name, out, (args, tuple(kwargs.values())))
            if name in TYPED_BY_OUT and kwargs.get("dtype") is None and isinstance(out, Tensor):
                kwargs["dtype"] = out.dtype
        try:
            if out is None:
                result = recall(args, kwargs)
                if result is not UNMET:
                    return result
            if typed is None:
                typed = _typed(function)
            if typed:
                _check_types(name, typed, args, kwargs)
            result = function(*args, **kwargs)
        except (AttributeError, TypeError) as error:
            result = _otherwise(call, name, function, args, kwargs, error)
        except engine.DataDependent as error:
            result = _one_by_one(call, args, kwargs, error)
        if out is None:
            return result
        if out.__class__ is Tensor and result.__class__ is Tensor and out.shape != result.shape:
            for x in (*args, *kwargs.values()):
                if x is out:  # what is read is not resized
                    raise RuntimeError(f"output with shape {list(out.shape)} doesn't match the broadcast shape "
                                       f"{list(result.shape)}: {name}() got an operand as out=")
        return write_out(name, out, result)
    return call


# Parameters that take an int and nothing else, by their names; a default that is a bool tells a flag.
_INTS = frozenset(("dim", "dim0", "dim1", "dim2", "dimension", "groups", "num_groups", "chunks", "diagonal", "offset", "decimals",
                   "k", "n", "edge_order", "upscale_factor", "downscale_factor", "blank", "ignore_index", "num_samples", "step",
                   "N"))
_NO_INT = (float, bool, complex, str)
_NO_FLAG = (float, complex, str, tuple, list)


def _typed(function: Callable) -> tuple[tuple[int, str, bool], ...]:
    """The parameters that take an int or a flag (position, name, whether it is a flag)."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    count = code.co_argcount
    names = code.co_varnames[:count + code.co_kwonlyargcount]
    usual = function.__defaults__ or ()
    defaults = dict(zip(names[count - len(usual):count], usual, strict=True)) | (function.__kwdefaults__ or {})
    # var(x, True) is understood, and a polynomial's degree is converted.
    ints = _INTS - {"dim"} if "unbiased" in names else _INTS - {"n"} if "_polynomial_" in function.__name__ else _INTS
    kinds = [(name, defaults.get(name).__class__) for name in names]
    return tuple([(i if i < count else 1 << 30, name, kind is bool) for i, (name, kind) in enumerate(kinds)
                  if kind is bool or name in ints and kind is not float])


def _check_types(name: str, typed: tuple, args: tuple, kwargs: dict) -> None:
    """Raises TypeError for a float or a bool where an int is due, and for what is no truth value where a flag is."""
    count = len(args)
    for i, parameter, flag in typed:
        value = args[i] if i < count else kwargs.get(parameter)
        kind = value.__class__
        if flag:
            if kind is not bool and (isinstance(value, _NO_FLAG) or kind is object):
                raise TypeError(f"{name}(): argument '{parameter}' must be bool, not {kind.__name__}")
        elif kind is not int and (isinstance(value, _NO_INT) or isinstance(value, Tensor) and parameter != "dim"):
            raise TypeError(f"{name}(): argument '{parameter}' must be int, not {kind.__name__}")


# Parameters may be given by numpy's names, where these are not the operator's own, and dtypes as Python's types.
_OF_NUMPY = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}
_NUMPY_NAMES = frozenset((*_OF_NUMPY, "dtype"))


@lru_cache(None)
def _parameters(function: Callable) -> frozenset[str]:
    import inspect
    return frozenset(inspect.signature(function).parameters)


def _torch_names(function: Callable, kwargs: dict) -> dict:
    if kwargs.get("dtype").__class__ is type:  # zeros(2, dtype=bool)
        kwargs = {**kwargs, "dtype": dtypes.OF_PYTHON.get(kwargs["dtype"], kwargs["dtype"])}
    if _OF_NUMPY.keys().isdisjoint(kwargs):
        return kwargs
    own = _parameters(function)

    def name(given: str) -> str:
        known = _OF_NUMPY.get(given, given)
        return given if given in own or known not in own else known
    return {name(key): value for key, value in kwargs.items()}


def _otherwise(call: Callable, name: str, function: Callable, args: tuple, kwargs: dict, error):
    """A call that did not fit: of an object that is no tensor and overrides functions, or in the spelling that the operator has;
    or raises what is wrong with it."""
    if not subclasses_override and _overriding(args, kwargs):
        subclass_overrides()
        return call(*args, **kwargs)
    from .spellings import respelled, with_ints
    other = respelled(name, args, kwargs) if isinstance(error, TypeError) and not isinstance(error, WrongArgument) else None
    if other is not None:
        return call(*other[0], **other[1])
    counted = with_ints(args, kwargs)
    if counted is not None:
        try:
            return call(*counted[0], **counted[1])
        except (AttributeError, TypeError):
            pass  # it is about something else
    raise _wrong_argument(name, function, args, kwargs, error) from None


def _one_by_one(call: Callable, args: tuple, kwargs: dict, error):
    """Inside of vmap, an operator that must look at its operands."""
    from ..func.levels import one_by_one
    return one_by_one(call, args, kwargs, error)


class WrongArgument(TypeError):
    """Something else was given where a tensor is expected. ``value`` is what was given."""

    def __init__(self, message: str, value):
        super().__init__(message)
        self.value = value


def _wrong_argument(name: str, function: Callable, args: tuple, kwargs: dict, error) -> BaseException:
    """The TypeError for an argument that is no tensor, named as the user's call names it; for a call that does not fit
    the signature, one that shows it; an error that is about anything else, as it is."""
    if isinstance(error, TypeError) and not isinstance(error, WrongArgument):
        inner = error.__traceback__.tb_next
        while inner is not None and inner.tb_frame.f_code.co_filename in (__file__, ruled.__file__):  # calls in between
            inner = inner.tb_next
        if inner is not None or "argument" not in str(error):
            return error
        import inspect
        return TypeError(f"{error}: expected {name}{inspect.signature(function)}, got {len(args)} positional arguments"
                         + (f" and {', '.join(kwargs)}" if kwargs else ""))
    value = error.value if isinstance(error, WrongArgument) else getattr(error, "obj", ruled.ABSENT)
    if isinstance(value, Tensor) or value is None and not isinstance(error, WrongArgument) and value not in args:
        return error
    code = function.__code__
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    kind = type(value).__name__
    for i, x in enumerate(args):
        called = f"'{names[i]}' (position {i + 1})" if i < min(len(names), code.co_argcount) else f"{i + 1}"
        if x is value:
            return WrongArgument(f"{name}(): argument {called} must be Tensor, not {kind}", value)
        if isinstance(x, (tuple, list)):
            for k, y in enumerate(x):
                if y is value:
                    return WrongArgument(f"{name}(): argument {called} must be tuple of Tensors, but found element of type {kind} "
                                         f"at pos {k}", value)
    for key, x in kwargs.items():
        if x is value:
            return WrongArgument(f"{name}(): argument '{key}' must be Tensor, not {kind}", value)
    return error


# -- in place, out= ----------------------------------------------------------------------------------------------------

def _inplace(record: Operator, name: str) -> Callable:
    function = record.function

    def call(self, *args, **kwargs):
        check_inplace(self)
        for x in args:
            if x.__class__ is Tensor and x._storage is self._storage and x is not self:
                refuse_overlap(name, self, (x,))
        return write_inplace(self, function(snapshot(self, (*args, *kwargs.values())), *args, **kwargs))

    call.__name__ = name
    call.__qualname__ = f"Tensor.{name}"
    call.__doc__ = f"In-place version of `{record.path}`."
    return call


def snapshot(self: Tensor, beside: tuple = ()) -> Tensor:
    """What ``self`` is now, on the tape, for an in-place operator to read: its gradient, or that of an operand ``beside`` it, may
    save it; the write that follows does not touch it."""
    if not modes.grad:
        return self
    if not self.requires_grad:
        return from_node(self._value()) if any([getattr(x, "_rg", False) for x in beside]) else self
    old = from_node(self._value())
    old._rg, old._fn, old._nr = True, self._fn, self._nr
    return old


def write_inplace(self: Tensor, result: Tensor) -> Tensor:
    """The end of an in-place operator: shape and dtype of the result must fit ``self``."""
    if result._type is not self._type:
        if result._type.shape != self._type.shape:
            raise RuntimeError(f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(result.shape)}")
        if not dtypes.can_cast(result.dtype, self.dtype):
            raise RuntimeError(f"result type {_long_name(result.dtype)} can't be cast to the desired output type "
                               f"{_long_name(self.dtype)}")
        result = result.to(self.dtype)
    return assign(self, result)


_LONG = {"bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
         "float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double", "complex32": "ComplexHalf",
         "complex64": "ComplexFloat", "complex128": "ComplexDouble"}


def _long_name(d: DType) -> str:
    return _LONG.get(d.name, d.name)


def write_out(name: str, out, result, several: bool = False):
    """Writes ``result`` (one of ``several``) into ``out`` (a tensor, or a tuple of them), resized if need be. Returns ``out``."""
    if isinstance(result, tuple) and not isinstance(result, Tensor):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"{name}(): out= must be a tuple of {len(result)} tensors")
        for o, r in zip(out, result, strict=True):
            write_out(name, o, r, True)
        return type(result)(out) if not hasattr(result, "_fields") else type(result)(*out)
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if modes.grad and (out.requires_grad or result.requires_grad):
        raise RuntimeError(f"{name}(): functions with out=... arguments don't support automatic differentiation, but one "
                           f"of the arguments requires grad.")
    if not may_write(name, result.dtype, out.dtype, several):
        raise (TypeError if name in JOINING else RuntimeError)(
            f"{name}(): result type {_long_name(result.dtype)} can't be cast to the desired output type {_long_name(out.dtype)}")
    if out.shape != result.shape:
        if out.numel():
            import warnings
            warnings.warn(f"An output with one or more elements was resized since it had shape {list(out.shape)}, which "
                          f"does not match the required output shape {list(result.shape)}.", UserWarning, stacklevel=4)
        out.resize_(result.shape)
        if views.is_dense(result.shape, result.stride()) and not name.startswith("fft."):  # these write to what they are given
            out.as_strided_(result.shape, result.stride())
    out._write(result.to(out.dtype)._value())
    return out


# -- the override protocol -----------------------------------------------------------------------------------------------

def count_modes(change: int) -> None:
    """A mode of some thread goes on (+1) or off (-1)."""
    global _modes_on, overrides_exist
    with _counting:
        _modes_on += change
        again.modes_on = _modes_on > 0
        overrides_exist = subclasses_override or again.modes_on


def subclass_overrides() -> None:
    """A class of tensors overrides ``__torch_function__``: from now on arguments are searched for it."""
    global subclasses_override
    subclasses_override = True
    count_modes(0)


def _overridden(function: Callable, args: tuple, kwargs: dict, relevant: tuple = ()) -> tuple[bool, Any]:
    """(True, result) if somebody takes the call: a mode, an argument's class that overrides ``__torch_function__``, autocast.
    ``relevant``: arguments whose classes are asked, if not all."""
    if modes.function_modes:
        every = modes.function_modes
        modes.function_modes = every[:-1]
        try:
            result = every[-1].__torch_function__(function, tuple(_overriding(args, kwargs)), args, kwargs)
        finally:
            modes.function_modes = every
        if result is NotImplemented:
            raise TypeError(f"no implementation found for '{function.__name__}' in {type(every[-1]).__name__}")
        return True, result
    if subclasses_override and modes.subclasses and (kwargs or relevant or not _plain.issuperset(map(type, args))):
        found = _overriding(relevant or args, {} if relevant else kwargs)
        for kind in sorted(found, key=lambda k: -len(k.__mro__)):
            result = kind.__torch_function__(function, tuple(found), args, kwargs)
            if result is not NotImplemented:
                return True, result
        if found:
            raise TypeError(f"no implementation found for '{function.__name__}' on types that implement __torch_function__: "
                            f"{[k.__name__ for k in found]}")
    if modes.autocast is not None:
        return modes.autocast(function, args, kwargs)
    return False, None


def _overriding(args: tuple, kwargs: dict) -> list[type]:
    """The classes of arguments that override ``__torch_function__``: all but parameters and those that disable it."""
    found = []

    def look(x):
        if isinstance(x, (tuple, list)):
            for y in x:
                look(y)
            return
        kind = type(x)
        if kind not in _plain and kind not in found and hasattr(kind, "__torch_function__"):
            if issubclass(kind, Tensor) and _is_plain(kind):
                _plain.add(kind)
            else:
                found.append(kind)
    look(args)
    look(tuple(kwargs.values()))
    return found


def _is_plain(kind: type) -> bool:
    """Whether a class of tensors is treated as `Tensor` is."""
    method = getattr(kind.__torch_function__, "__func__", kind.__torch_function__)  # type: ignore[attr-defined]
    if method is Tensor.__dict__["__torch_function__"].__func__:
        return not kind._results_keep_class  # type: ignore[attr-defined]
    from .._C import _disabled_torch_function_impl
    return method is _disabled_torch_function_impl


def plain_call(cls, function: Callable, args: tuple, kwargs: dict):
    """Runs a function without overrides by classes; tensors in the result become ``cls``."""
    previous, modes.subclasses = modes.subclasses, False
    try:
        result = function(*args, **kwargs)
    finally:
        modes.subclasses = previous

    def convert(x):
        if type(x) is Tensor and cls is not Tensor:
            return x.as_subclass(cls)
        if isinstance(x, (tuple, list)):
            return type(x)(*map(convert, x)) if hasattr(x, "_fields") else type(x)(map(convert, x)) \
                if type(x) in (tuple, list) else x
        return x
    return convert(result)


# -- promotion -----------------------------------------------------------------------------------------------------------

def result_type(*operands) -> DType:
    """PyTorch's promotion over tensors and Python numbers: 0-dim tensors and numbers count only by category
    (https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc)."""
    sized = scalar = number = None
    for x in operands:
        if isinstance(x, Tensor):
            d = x._type.dtype
            if x._type.shape:
                sized = d if sized is None else promote_types(sized, d)
            else:
                scalar = d if scalar is None else promote_types(scalar, d)
        else:
            d = dtypes.of_scalar(x)
            number = d if number is None else promote_types(number, d)
    result = _combine(sized, _combine(scalar, number))
    assert result is not None
    return result


def _combine(higher: DType | None, lower: DType | None) -> DType | None:
    if higher is None:
        return lower
    if lower is None or higher.kind == "c":
        return higher
    if higher.kind == "f":
        return higher.to_complex() if lower.kind == "c" else higher
    if higher.kind == "b" or lower.kind in "fc":
        return promote_types(higher, lower)
    return higher


# PyTorch's promotion kinds: from the promoted operand type to the type computed in, and to that of the result.
def _int_to_float(d: DType) -> DType:
    return dtypes.default_dtype if d.kind in "bui" else d


COMPUTE: dict[str, Callable[[DType], DType]] = {
    "default": lambda d: d, "int_to_float": _int_to_float, "always_bool": lambda d: d,
    "complex_to_float": lambda d: d, "bool_to_long": lambda d: dtypes.int64 if d is dtypes.bool_ else d}


# -- elementwise operators -------------------------------------------------------------------------------------------------

def finish(node: Node, *operands) -> Tensor:
    """A fresh tensor for an elementwise result, laid out in memory as its operands are."""
    for x in operands:
        if isinstance(x, Tensor) and x._strides is not None and x._strides != x._type.strides:
            order = _layout_order(node.type.shape, operands)
            if order is not None:
                return strided_from_node(node, order)
            break
    return from_node(node)


def _layout_order(shape, operands) -> tuple[int, ...] | None:
    """The memory order that PyTorch's TensorIterator gives a result, or None if it is row-major."""
    return _iterator_order(shape, tuple([(x._type.shape, x.stride()) for x in operands
                                         if isinstance(x, Tensor) and x._type.shape]))


@lru_cache(1 << 14)
def _iterator_order(shape: tuple[int, ...], layouts: tuple) -> tuple[int, ...] | None:
    rank = len(shape)
    strides = []
    for own_shape, own in layouts:
        lead = rank - len(own_shape)
        strides.append([0] * lead + [0 if s == 1 and n != 1 else st for s, st, n in
                                     zip(own_shape, own, shape[lead:], strict=True)])
    order = list(range(rank))[::-1]  # fastest first, as TensorIterator keeps it

    def swap(a: int, b: int) -> int:
        for st in strides:
            if st[a] == 0 or st[b] == 0:
                continue
            if st[a] != st[b]:
                return 1 if st[a] > st[b] else -1
            if shape[a] > shape[b]:
                return 1
        return 0
    for i in range(1, rank):
        at = i
        for j in range(i - 1, -1, -1):
            compare = swap(order[j], order[at])
            if compare > 0:
                order[at], order[j] = order[j], order[at]
                at = j
            elif compare < 0:
                break
    found = tuple(reversed(order))
    if views.is_contiguous(shape, views.dense_strides(shape, found)):
        return None
    return found


def operand(x, compute: DType) -> tuple[Node, Any]:
    """The node of an operand in the type computed in, and the tensor (or None) that it came from."""
    if isinstance(x, Tensor):
        if x._type.dtype is not compute:
            x = x.to(compute)
        return x._value(), x
    return engine.scalar(x, compute), None


def beside_half(input, other) -> bool:
    """Whether ``other`` is a real number, or a tensor without dimensions of another dtype, beside a half-precision tensor, which
    decides the dtype of the result: PyTorch then computes in float32, and rounds once."""
    t = getattr(input, "_type", None)
    if t is None or t.dtype.itemsize != 2 or t.dtype.kind != "f":
        return False
    u = getattr(other, "_type", None)
    if u is None:
        return isinstance(other, (int, float)) or is_number(other) and not isinstance(other, complex)
    return bool(t.shape) and not u.shape and u.dtype is not t.dtype and u.dtype.kind != "c"


def only(name: str, kinds: str, *tensors) -> None:
    """Raises NotImplementedError for a tensor of another dtype kind, as PyTorch does where it has no kernel."""
    for x in tensors:
        if isinstance(x, Tensor) and x._type.dtype.kind not in kinds:
            raise NotImplementedError(f'"{name}" not implemented for \'{_long_name(x._type.dtype)}\'')


_LARGEST = {"float16": 65504.0, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}


def element(value, d: DType):
    """A Python number as an element of dtype ``d``. Raises RuntimeError where PyTorch's conversion overflows: integers beyond the
    dtype's (−1 stands for the largest of an unsigned one), floats beyond its largest, complex numbers for real ones."""
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, int) and not -2**63 <= value < 2**64:
        raise OverflowError(f"int too big to convert: {value}")
    if d.kind == "b":
        return bool(value)
    real = value
    if isinstance(value, complex):
        if d.kind == "c":
            return value
        real = value.real
        fits = not value.imag
    else:
        fits = True
    if d.kind in "ui":
        low, high = (0 if d.kind == "u" else -2**(8 * d.itemsize - 1)), 2**(8 * d.itemsize - (d.kind == "i")) - 1
        fits = fits and (-high if d.kind == "u" and isinstance(real, int) else low) <= real <= high
        real = (int(real) - low) % 2**(8 * d.itemsize) + low if fits else real
    elif d.itemsize > 2:  # the others are converted from double, with infinity for what is too large
        fits = fits and (not math.isfinite(real) or abs(real) <= _LARGEST[d.to_real().name])
    if not fits:
        raise RuntimeError(f"value cannot be converted to type {d.name} without overflow: {value}")
    return real


def only_tensors(name: str, **arguments) -> None:
    """Raises for an argument that is no tensor, where a number would be computed with as well."""
    for argument, x in arguments.items():
        if not isinstance(x, Tensor):
            raise WrongArgument(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}", x)


def not_int(name: str, argument: str, value) -> Any:
    raise TypeError(f"{name}(): argument '{argument}' must be int, not {type(value).__name__}")


def is_number(x) -> bool:
    return isinstance(x, (int, float, complex)) or (not isinstance(x, Tensor) and hasattr(x, "dtype") and hasattr(x, "item")
                                                    and getattr(x, "shape", None) == ())


def elementwise(path: str, primitive: Primitive, inputs: tuple[str, ...] = ("input",), *, grad: dict | None = None,
                kind: str = "default", complex_ok: bool = True, bool_ok: bool = True, half_ok: bool = True, only: str | None = None,
                numbers: str = "any", wide_numbers: bool = False, method: bool | tuple[str, ...] = True, inplace: bool = True,
                aliases: tuple[str, ...] = (), node: str | None = None, samples: Callable | None = None) -> Callable:
    """An operator over one elementwise primitive.

    ``kind`` is its promotion kind; ``only`` the dtype kinds ("biufc") that it computes on, an error otherwise; ``numbers``
    which of two operands may be Python numbers: "any", "one" of them, the "other" only, or "none"; ``wide_numbers``: beside a
    half-precision tensor a number is not rounded first (`beside_half`);
    ``node`` the name of its place on the tape, where that is not its own.
    """
    short = path.rpartition(".")[2]
    rule = Rule(node or _node_name(short), inputs, grad or {}, broadcasts=len(inputs) > 1)
    compute_type = COMPUTE[kind]
    differentiable = grad is not None
    append = engine.record

    def lacks(d: DType) -> bool:
        return d.kind == "c" and not complex_ok or d.kind == "b" and not bool_ok or bool(only and d.kind not in only) \
            or d.kind == "f" and d.itemsize == 2 and not half_ok

    def check(d: DType) -> DType:
        if lacks(d):
            raise NotImplementedError(f'"{short}_cpu" not implemented for \'{_long_name(d)}\'')
        return d

    if len(inputs) == 1:
        def core(input):
            type = getattr(input, "_type", None)
            if type is None:
                raise _wrong_operand(short, inputs[0], input)
            compute = compute_type(type.dtype)
            check(compute)
            if compute is not type.dtype:
                input = input.to(compute)
            value = input._value()
            node = append(primitive, (value,), None)
            t = from_node(node) if input._strides is None else finish(node, input)
            if input._rg and differentiable and modes.grad:
                track(rule, (t,), (input,), (value,), {})
            return t
    elif len(inputs) == 2:
        fast = {d for d in dtypes.ALL if compute_type(d) is d and not lacks(d)}

        beside_number = {d for d in fast if not (wide_numbers and d.itemsize == 2)}
        known: dict[tuple, engine.Signature] = {}  # of operands that need no conversion

        def core(input, other):
            if input.__class__ is Tensor and other.__class__ is Tensor:  # the common case, spelled out
                s, u = input._storage, other._storage
                strided = input._strides is not None or other._strides is not None
                if strided or s.exports is not None or input._base is not None or s.node.type is not input._type:
                    x = input._value()
                else:
                    x = s.node
                if strided or u.exports is not None or other._base is not None or u.node.type is not other._type:
                    y = other._value()
                else:
                    y = u.node
                sig = known.get((x.type, y.type))
                if sig is not None and not engine.debug_lines:
                    node = engine.append_known(sig, (x, y))
                    t = finish(node, input, other) if strided else from_node(node)
                    if differentiable and (input._rg or other._rg) and modes.grad:
                        track(rule, (t,), (input, other), (x, y), {})
                    return t
            elif input.__class__ is Tensor and (other.__class__ is float or other.__class__ is int):
                s = input._storage
                x = s.node
                d = x.type.dtype
                if x.type is input._type and d.kind == "f" and d in beside_number and input._strides is None and s.exports is None \
                        and input._base is None:
                    y = engine.scalar(other, d)
                    t = from_node(append(primitive, (x, y)))
                    if differentiable and input._rg and modes.grad:
                        track(rule, (t,), (input, from_node(y)), (x, y), {})
                    return t
            a_type, b_type = getattr(input, "_type", None), getattr(other, "_type", None)
            if a_type is not None and b_type is not None and a_type.dtype is b_type.dtype and a_type.dtype in fast:
                x, y = input._value(), other._value()
            else:
                if a_type is None and not is_number(input):
                    raise _wrong_operand(short, inputs[0], input)
                if b_type is None and not is_number(other):
                    raise _wrong_operand(short, inputs[1], other)
                if wide_numbers and beside_half(input, other):
                    wide = core(input.to(dtypes.float32), other if b_type is None else other.to(dtypes.float32))
                    return wide.to(input.dtype)
                if b_type is None and a_type is not None and a_type.dtype.kind == "f" and a_type.dtype in fast \
                        and not isinstance(other, complex):
                    compute = a_type.dtype
                else:
                    compute = check(compute_type(result_type(input, other)))
                x, moved = operand(input, compute)
                input = moved if moved is not None else input
                y, moved = operand(other, compute)
                other = moved if moved is not None else other
            node = append(primitive, (x, y), None)
            if a_type is not None and b_type is not None and a_type.dtype is b_type.dtype and a_type.dtype in fast \
                    and not primitive.faults:
                if len(known) > 4096:
                    known.clear()
                known[x.type, y.type] = node.signature
            if (a_type is None or input._strides is None) and (b_type is None or other._strides is None):  # pyright: ignore[reportAttributeAccessIssue]
                t = from_node(node)
            else:
                t = finish(node, input, other)
            if differentiable and ((a_type is not None and input._rg) or (b_type is not None and other._rg)) and modes.grad:  # pyright: ignore[reportAttributeAccessIssue]
                if a_type is None:
                    input = from_node(x)
                if b_type is None:
                    other = from_node(y)
                track(rule, (t,), (input, other), (x, y), {})
            return t
    else:
        def core(*args):
            compute = check(compute_type(result_type(*args)))
            pairs = [operand(x, compute) for x in args]
            node = append(primitive, tuple(p[0] for p in pairs), None)
            t = finish(node, *args)
            tensors = tuple(p[1] if p[1] is not None else from_node(p[0]) for p in pairs)
            if differentiable and modes.grad and any(x._rg for x in tensors):
                track(rule, (t,), tensors, tuple(p[0] for p in pairs), {})
            return t

    core.__name__ = core.__qualname__ = short
    code = f"def {short}({', '.join(inputs)}): return core({', '.join(inputs)})"
    any_number = numbers == "any" or len(inputs) != 2
    scope: dict[str, Any] = {"core": core if any_number else _refusing_numbers(core, short, inputs, numbers)}
    exec(compile(code, __file__, "exec"), scope)  # a function with PyTorch's parameter names
    public = _public(scope[short], path, True)
    public.core = core  # type: ignore[attr-defined]
    names = (short, *aliases) if method is True else method or ()
    register(Operator(path, public, primitive, rule, tuple(names),
                      tuple(n + "_" for n in (short, *aliases)) if inplace else (), aliases, True, samples, differentiable))
    return public


def _refusing_numbers(core: Callable, name: str, inputs: tuple[str, ...], numbers: str) -> Callable:
    """The function that users call, where PyTorch takes no Python number for an operand."""
    def call(input, other):
        a, b = isinstance(input, Tensor), isinstance(other, Tensor)
        if not (a and b):
            if not a and (numbers in ("other", "none") or not b):
                raise _wrong_operand(name, inputs[0], input)
            if not b and numbers == "none":
                raise _wrong_operand(name, inputs[1], other)
        return core(input, other)
    return call


def _wrong_operand(name: str, argument: str, value) -> WrongArgument:
    expected = "Tensor" if is_number(value) else "Tensor or Number"
    return WrongArgument(f"{name}(): argument '{argument}' must be {expected}, not {type(value).__name__}", value)
