"""The tensor: a handle on a storage through a strided view, with its place on the tape.

Operators, and so most methods, come from the operator table (`diya.ops`), which installs them here.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from . import autograd, dtypes, engine, views
from .autograd.modes import modes
from .autograd.tape import AccumulateGrad, RemovableHandle, Rule, edge_of, put, track
from .device import META
from .device import check as check_device
from .device import device as Device
from .dtypes import dtype as DType
from .graph import PRIMITIVES, Node, Size, Type, contiguous_strides, type_of
from .runtime.arrays import copy as copied
from .runtime.buffer import Buffer, allocate
from .storage import COMPARED_BYTES, Storage

_new = object.__new__
KEPT_BYTES = 1 << 20  # of memory whose parts, once read, are kept for the next time


class Tensor:
    """A multi-dimensional array of one dtype (https://docs.pytorch.org/docs/stable/tensors.html)."""

    _storage: Storage
    _type: Type
    _strides: tuple[int, ...] | None = None  # None: row-major from the first element of the storage's content
    _offset = 0
    _shown: tuple | None = None   # of a view of small memory: what was read last, and its value (of a strided one if it was twice)
    _copied: tuple | None = None  # of a small view of exported memory: what was read last, and its value
    _rg = False            # wants a gradient, as a leaf or through ``_fn``
    _fn: Any = None        # the node on the tape that made it
    _nr = 0                # which of that node's outputs
    _grad: Tensor | None = None
    _accumulate: Any = None
    _base: Tensor | None = None   # of a differentiable view: the tensor whose storage it shows
    _rebases = 0           # how often in-place writes gave the storage a new history / at which of them ours was made
    _hooks: dict | None = None
    _post_accumulate_hooks: dict | None = None
    _retains = False
    _inference = False
    _hidden: int | None = None  # of ``x.data``, whose writes are not counted: how many there had been
    _results_keep_class = True  # of a subclass: what is computed from its tensors is of it too
    name = None
    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __new__(cls, *args, **kwargs):
        if cls is Tensor or not args or not isinstance(args[0], Tensor):
            if cls is Tensor:
                return _legacy_constructor(dtypes.default_dtype, args, kwargs)
            return object.__new__(cls)
        return args[0].as_subclass(cls)

    def __init_subclass__(cls, asks: bool = True, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__torch_function__" in cls.__dict__ or cls._results_keep_class:
            from .ops import record
            record.subclass_overrides()
            if asks:
                from .ops.subclasses import prepare
                prepare(cls)

    if TYPE_CHECKING:  # operators are installed from the table: see ops/record.py
        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...

    # -- layout --------------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return self._type.shape

    @property
    def dtype(self) -> DType:
        return self._type.dtype

    @property
    def device(self) -> Device:
        return self._storage.node.device

    @property
    def ndim(self) -> int:
        return len(self._type.shape)

    def dim(self) -> int:
        return len(self._type.shape)

    ndimension = dim

    def numel(self) -> int:
        return self._type.numel

    nelement = numel

    def size(self, dim: int | None = None):
        return self._type.shape if dim is None else self._type.shape[wrap_dim(dim, self.dim())]

    def stride(self, dim: int | None = None):
        strides = self._strides if self._strides is not None else self._type.strides
        return strides if dim is None else strides[wrap_dim(dim, self.dim())]

    def storage_offset(self) -> int:
        return self._offset

    def is_contiguous(self, memory_format=None) -> bool:
        if memory_format is not None and memory_format.name != "contiguous_format":
            order = {"channels_last": (0, 2, 3, 1), "channels_last_3d": (0, 2, 3, 4, 1)}.get(memory_format.name)
            if order is None or len(order) != len(self._type.shape):
                return False
            return views.is_contiguous([self.shape[d] for d in order], [self.stride()[d] for d in order])
        return self._strides is None or views.is_contiguous(self._type.shape, self._strides)

    def element_size(self) -> int:
        return self._type.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self._type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._type.nbytes

    def untyped_storage(self) -> Storage:
        return self._storage

    def data_ptr(self) -> int:
        """The address of the first element now; a later in-place write may move it (0 for an empty tensor)."""
        if not self._type.numel:
            return 0
        return self._storage.data_ptr() + self._offset * self._type.dtype.itemsize

    # -- reading and writing -------------------------------------------------------------------------------------------

    def _value(self) -> Node:
        """The dense, row-major value that the tensor has now."""
        storage = self._storage
        node = storage.node
        if storage.exports is None:
            if node.type is self._type and self._strides is None:
                if self._base is not None:
                    self._refresh_autograd()
                return node
        elif storage.copied is not None and self._strides is None and self._base is None:
            before, known = storage.copied  # small memory: perhaps it is as it was then
            if known.type is self._type and node.value.__class__ is Buffer and node.value.array.tobytes() == before:
                return known
        return self._read()

    def _read(self) -> Node:
        storage, type = self._storage, self._type
        exports = storage.exports
        if self._base is not None:
            self._refresh_autograd()
        if exports is not None and storage.exported():
            node = storage.node
            if node.value is None:
                storage.buffer()
                node = storage.node
            if self._strides is None and node.type.nbytes == type.nbytes:
                if type.nbytes <= COMPARED_BYTES:
                    return storage.snapshot(type)
                own = allocate(type.nbytes)
                np.copyto(own.array, node.value.array)
                return engine.leaf(own, type)
            shown = self._array_of(node)
            if type.nbytes > COMPARED_BYTES:
                return engine.leaf(Buffer.of(copied(shown)), type)
            what = storage, shown.tobytes(), type, self._strides, self._offset
            if self._copied is None or self._copied[0] != what:
                self._copied = what, engine.leaf(Buffer(np.frombuffer(bytearray(what[1]), np.uint8)), type)
            return self._copied[1]
        if self._shown is not None and self._shown[1] is not None and exports is None and self._is_shown() and not engine.sealed:
            return self._shown[1]
        return self._view_of(storage.node)

    def _borrow(self) -> Node:
        """As ``_value``, but large exported memory (and any that comes after it) is read where it is; what is recorded next
        must be its only reader, and then runs at once."""
        if not self._lent() and not (engine.volatile and self._lent(0)):
            return self._value()
        if self._base is not None:
            self._refresh_autograd()
        self._storage.buffer()
        node = self._view_of(self._storage.node)
        engine.volatile = True
        return node

    def _lent(self, least: int = 1 << 20) -> bool:
        """Whether so many bytes of memory that numpy shares are read where they are, by an operator that runs at once."""
        return self._type.nbytes >= least and self._storage.exports is not None and self._storage.exported()

    def _array_of(self, node: Node) -> np.ndarray:
        """This tensor's elements as a strided numpy view of a materialised storage node."""
        engine.looked()
        type = self._type
        d = type.dtype
        if not type.numel:
            return np.empty(type.shape, d.numpy)
        item = d.itemsize
        strides = tuple([s * item for s in (type.strides if self._strides is None else self._strides)])
        return np.ndarray(type.shape, d.numpy, node.value.array, self._offset * item, strides)

    def _is_shown(self) -> bool:
        """Whether what was read last is what there is to read."""
        storage, version, handed_out, type, strides, offset = self._shown[0]  # pyright: ignore[reportOptionalSubscript]
        now = self._storage
        return storage is now and version == now.version and handed_out == now.handed_out and type is self._type \
            and strides is self._strides and offset == self._offset

    def _view_of(self, node: Node) -> Node:
        """The view of a storage's content that this tensor is, as a node."""
        type = self._type
        if node.type.dtype is not type.dtype:
            node = _reinterpret(node, type.dtype)
        if self._strides is None:
            if node.type is type:
                return node
            strides, offset = type.strides, 0
        else:
            strides, offset = self._strides, self._offset
            if offset == 0 and node.type is type and strides == type.strides:
                return node
        if isinstance(node.value, Buffer) and node not in engine.sealed:
            storage = self._storage
            if strides == type.strides or _same_strides(type.shape, strides, type.strides):
                part = engine.leaf_of(node, offset, type)
                if storage.exports is None and node.type.nbytes <= KEPT_BYTES:
                    self._shown = (storage, storage.version, storage.handed_out, type, self._strides, self._offset), part
                return part
            if type.nbytes <= COMPARED_BYTES and storage.exports is None and type.numel:
                if self._shown is not None and self._is_shown():  # it is read again: made dense, once
                    dense = engine.leaf(Buffer.of(np.array(self._array_of(node), order="C")), type)
                    self._shown = self._shown[0], dense
                    return dense
                self._shown = (storage, storage.version, storage.handed_out, type, self._strides, self._offset), None
            span = views.extent(type.shape, strides, 0)[1] + 1
            if 0 < span < node.type.numel:  # positions relative to the first element: another offset is the same program
                node, offset = engine.leaf_of(node, offset, type_of((span,), type.dtype)), 0
        elif node.value is None and node.signature.op is PRIMITIVES["view"] and node not in engine.sealed:
            shape, inner, start = node.signature.attrs
            composed = views.compose(shape, inner, start, type.shape, strides, offset)
            if composed is not None:
                node, (strides, offset) = node.inputs[0], composed
                if offset == 0 and node.type is type and _same_strides(type.shape, strides, type.strides):
                    return node
        return engine.append(PRIMITIVES["view"], (node,), (tuple(type.shape), tuple(strides), offset))

    def _write(self, node: Node) -> None:
        """Replaces this tensor's elements by ``node``'s: the storage's next version. No checks, no tape."""
        storage, type = self._storage, self._type
        old = storage.node
        assert node.type is type, (node.type, type)
        if self._hidden is not None:
            storage.hidden += 1
        if self._strides is None and old.type.nbytes == type.nbytes:
            storage.write(node)
            return
        shape = type.shape
        strides = self._strides if self._strides is not None else type.strides
        if views.overlaps_itself(shape, strides):
            raise RuntimeError("unsupported operation: more than one element of the written-to tensor refers to a single "
                               "memory location. Please clone() the tensor before performing the operation.")
        if old.type.nbytes == type.nbytes and self._offset == 0 and views.is_dense(shape, strides):
            order = views.memory_order(shape, strides)  # a permutation of the whole: nothing of the old is left
            dense = type_of(tuple(shape[d] for d in order), type.dtype)
            storage.write(engine.append(PRIMITIVES["view"], (node,),
                                        (tuple(dense.shape), tuple(type.strides[d] for d in order), 0)))
            return
        if old.type.dtype is not type.dtype:
            old = _reinterpret(old, type.dtype)
        storage.write(engine.record(PRIMITIVES["write"], (old, node), (tuple(shape), tuple(strides), self._offset)))

    def _to_array(self) -> np.ndarray:
        """The elements as a dense numpy array of ``dtype.numpy`` (bits, for bfloat16); a copy."""
        type = self._type
        buffer = engine.observe(self._value())
        return buffer.typed(type.shape, type.dtype.numpy).copy()

    # -- autograd ------------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        if self._base is not None:
            self._refresh_autograd()
        return self._rg

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._fn is not None:
            if not value:
                raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a "
                                   "computed variable in a subgraph that doesn't require differentiation use "
                                   "var_no_grad = var.detach().")
            return
        if value and self._type.dtype.kind not in "fc":
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients, got "
                               f"{self.dtype}")
        if value and modes.levels:
            raise RuntimeError("You are attempting to call Tensor.requires_grad_() (or perhaps using torch.autograd.functional.* "
                               "APIs) inside of torch.func.vmap. Use torch.func.grad, vjp, jacrev or jacfwd inside of it, or call "
                               "requires_grad_() outside")
        if value and self._inference and not modes.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._rg = bool(value)
        if value and self._hidden is not None:  # a leaf of its own, whose writes count
            self._hidden = None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        self.requires_grad = requires_grad
        return self

    @property
    def grad_fn(self):
        fn = self._tape_node()
        if fn is not None and fn.stands_for_others:
            self._fn, self._nr = fn.as_written(self._nr)
        return self._fn

    def _tape_node(self):
        """The node of the tape that made this tensor."""
        if self._base is not None:
            self._refresh_autograd()
        return self._fn

    @property
    def is_leaf(self) -> bool:
        return self._tape_node() is None

    @property
    def output_nr(self) -> int:
        return self._nr

    @property
    def _version(self) -> int:
        storage = self._storage
        return storage.version - storage.hidden if self._hidden is None else storage.hidden - self._hidden

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and self._fn is not None and self._rg and not self._retains:
            import warnings
            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                          "attribute won't be populated during autograd.backward(). If you indeed want the .grad field "
                          "to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.",
                          UserWarning, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type "
                                f"{type(value).__name__}")
            if value.shape != self.shape:
                raise RuntimeError(f"assigned grad has data of a different size: got {list(value.shape)}, expected "
                                   f"{list(self.shape)}")
            if value.dtype is not self.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: got {value.dtype}, expected {self.dtype}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        t = self._alias()
        t._hidden = self._storage.hidden
        return t

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._storage, self._type = value._storage, value._type
        self._strides, self._offset = value._strides, value._offset

    def detach(self) -> Tensor:
        """A tensor on the same memory that the tape does not know."""
        return self._alias()

    def detach_(self) -> Tensor:
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._fn, self._nr, self._rg = None, 0, False
        return self

    def _alias(self, cls=None) -> Tensor:
        """Another handle on the same view of the same storage, off the tape."""
        t = object.__new__(cls or Tensor)
        t._storage, t._type = self._storage, self._type
        if self._strides is not None:
            t._strides, t._offset = self._strides, self._offset
        if self._hidden is not None:
            t._hidden = self._hidden
        return t

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None) -> None:
        """Gradients of this tensor with respect to the leaves, added to their ``grad``."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def retain_grad(self) -> None:
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._fn is None or self._retains:
            return
        import weakref
        if self._fn.retained is None:
            self._fn.retained = {}
        self._fn.retained[self._nr] = weakref.ref(self)
        self._retains = True

    @property
    def retains_grad(self) -> bool:
        return self._retains

    def register_hook(self, hook) -> RemovableHandle:
        """``hook(grad)`` runs when the gradient of this tensor is known; what it returns replaces it."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        fn = self._tape_node()
        if fn is None:
            if self._hooks is None:
                self._hooks = {}
            return RemovableHandle(self._hooks, hook)
        if fn.tensor_hooks is None:
            fn.tensor_hooks = {}
        return RemovableHandle(fn.tensor_hooks.setdefault(self._nr, {}), hook)

    def register_post_accumulate_grad_hook(self, hook) -> RemovableHandle:
        """``hook(tensor)`` runs after this leaf's ``grad`` was added to."""
        if not self.requires_grad or self._fn is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors" if self._fn is not None
                               else "cannot register a hook on a tensor that doesn't require gradient")
        if self._post_accumulate_hooks is None:
            self._post_accumulate_hooks = {}
        return RemovableHandle(self._post_accumulate_hooks, hook)

    def _refresh_autograd(self) -> None:
        """A view whose base was rewritten gets its place on the tape anew: it is a view of what the base is now."""
        base = self._base
        if base is None or base._rebases == self._rebases:
            return
        self._rebases = base._rebases
        if base._rg and self._type.dtype.kind in "fc":
            strides = self._strides if self._strides is not None else self._type.strides
            view_on_tape(self, base, AS_STRIDED, {"view": (tuple(self.shape), tuple(strides), self._offset),
                                                  "base": _layout(base)})

    # -- identity ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _make_subclass(cls, data: Tensor, require_grad: bool = False, **_) -> Any:
        """A leaf of class ``cls`` on the memory of ``data``."""
        return data._alias(cls).requires_grad_(require_grad)

    @staticmethod
    def _make_wrapper_subclass(cls, *args, **kwargs):
        raise NotImplementedError(f"Tensor._make_wrapper_subclass({cls.__name__}, ...) is not supported: diya has no "
                                  f"__torch_dispatch__. Override __torch_function__")

    def as_subclass(self, cls) -> Tensor:
        if getattr(cls, "__torch_dispatch__", None) is not None:
            raise NotImplementedError(f"{cls.__name__}.__torch_dispatch__ is not supported: diya's operators are not PyTorch's. "
                                      f"Override __torch_function__")
        source: Any = self
        if self._rg and self._fn is None and modes.grad:  # a leaf: its gradient is its own
            from .ops.record import plain_call
            source = plain_call(Tensor, lambda x: x.view(x.shape), (self,), {})
        t = source._alias(cls)
        t._fn, t._nr, t._rg, t._base, t._rebases = source._fn, source._nr, source._rg, source._base, source._rebases
        return t

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        if self._tape_node() is not None:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                               "at the moment: use .detach().clone()")
        storage = memo.get(id(self._storage))
        if storage is None:
            node = self._storage.node
            if self._storage.exported():
                node = engine.leaf(Buffer.of(self._storage.buffer().array.copy()), node.type)
            memo[id(self._storage)] = storage = Storage(node)
        t = self._alias(type(self))
        t._storage = storage
        memo[id(self)] = t
        import copy
        if self._grad is not None:
            t._grad = copy.deepcopy(self._grad, memo)
        t._rg = self._rg
        hidden = set(Tensor.__dict__) | {"_storage", "_type", "_strides", "_offset"}
        for k, v in self.__dict__.items():
            if k not in hidden:
                t.__dict__[k] = copy.deepcopy(v, memo)
        return t

    def __reduce_ex__(self, protocol):
        if self._fn is not None:
            raise RuntimeError("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does "
                               "not support crossing process boundaries. If you just want to transfer the data, call "
                               "detach() on the tensor before serializing (e.g., putting it on the queue).")
        return _rebuild, (type(self), self._to_array(), self.dtype, self._rg)

    def __repr__(self, *, tensor_contents=None):
        from .printing import tensor_str
        return tensor_str(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 and type(self) is Tensor else object.__format__(self, spec)

    # -- Python protocols ----------------------------------------------------------------------------------------------

    def item(self) -> bool | int | float | complex:
        """The only element, as a Python number. Raises RuntimeError if there is not exactly one."""
        if self._type.numel != 1:
            raise RuntimeError(f"a Tensor with {self._type.numel} elements cannot be converted to Scalar")
        node = self._value()
        return dtypes.load_array(engine.observe(node).typed((1,), self._type.dtype.numpy), self._type.dtype)[0].item()

    def tolist(self):
        """Nested lists of Python numbers (a number, for a 0-dim tensor)."""
        return dtypes.load_array(self._to_array(), self._type.dtype).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A numpy array on the same memory. Raises RuntimeError for a tensor that requires gradients, TypeError for
        bfloat16, which numpy lacks."""
        if not force and self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        d = self._type.dtype
        if self.device is META:
            raise TypeError("can't convert meta device type tensor to numpy: it has no data")
        if d is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16: numpy has no bfloat16, use .float().numpy()")
        if d is dtypes.complex32:
            raise TypeError("Got unsupported ScalarType ComplexHalf: numpy has no complex32, use .cfloat().numpy()")
        strides = self._strides if self._strides is not None else self._type.strides
        if self._storage.node.type.numel == 1 and self._storage.node.value is None:
            engine.flush()
        return self._storage.export(self._type.shape, [s * d.itemsize for s in strides], self._offset * d.itemsize, d.numpy)

    def __array__(self, dtype=None, copy=None):
        a = self.numpy()
        return a.astype(dtype) if dtype is not None and a.dtype != dtype else a

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return from_numpy(np.asarray(array))

    def __bool__(self) -> bool:
        if self._type.numel != 1:
            if self._type.numel == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous: use .any() or .all()")
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())  # type: ignore[arg-type]

    def __float__(self) -> float:
        return float(self.item())  # type: ignore[arg-type]

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._type.dtype.kind not in "uib" or self._type.numel != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())  # type: ignore[arg-type]

    def __len__(self) -> int:
        if not self._type.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._type.shape[0]

    def __iter__(self):
        if not self._type.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, item) -> bool:
        if isinstance(item, (Tensor, numbers.Number)):
            return bool((item == self).any())  # pyright: ignore[reportAttributeAccessIssue]
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(item)}.")

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return self.numpy().__dlpack__()

    def __dlpack_device__(self):
        return (1, 0)

    def __dir__(self):
        return sorted(set(object.__dir__(self)) | set(dir(type(self))))

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """The override protocol's default: run the function, results as ``cls``."""
        from .ops.record import plain_call
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        return plain_call(cls, func, args, kwargs or {})


def wrap_dim(dim: int, rank: int) -> int:
    """A dimension counted from the end brought to count from the start. Raises IndexError when out of range."""
    if type(dim) is not int:
        try:
            dim = dim.__index__()
        except AttributeError:
            raise TypeError(f"dim must be an int, got {type(dim).__name__}") from None
    span = max(rank, 1)
    if not -span <= dim < span:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got {dim})")
    return dim + span if dim < 0 else dim


def _same_strides(shape, a, b) -> bool:
    for s, x, y in zip(shape, a, b, strict=True):
        if s != 1 and x != y:
            return False
    return True


def _reinterpret(node: Node, dtype: DType) -> Node:
    """The same bytes as elements of another dtype, flat."""
    type = type_of((node.type.nbytes // dtype.itemsize,), dtype)
    return engine.append(PRIMITIVES["bitcast"], (node,), (tuple(type.shape), dtype))


# -- making tensors ------------------------------------------------------------------------------------------------------

def from_node(node: Node) -> Tensor:
    """A tensor of its own memory that holds a node's value."""
    t = object.__new__(Tensor)
    t._type = node.type
    t._storage = s = object.__new__(Storage)
    s.node = node
    return t


def strided_from_node(node: Node, order: tuple[int, ...]) -> Tensor:
    """As ``from_node``, with the dimensions in memory from slowest to fastest as in ``order``."""
    type = node.type
    t = object.__new__(Tensor)
    t._type = type
    t._strides = views.dense_strides(type.shape, order)
    t._storage = Storage(engine.append(PRIMITIVES["view"], (node,), (tuple(type.shape[d] for d in order),
                                                                     tuple(type.strides[d] for d in order), 0)))
    return t


def _from_storage(storage: Storage, dtype: DType, shape, strides, offset: int = 0) -> Tensor:
    """A view of a storage: shape, strides and offset in elements. Raises RuntimeError if it reaches outside."""
    t = object.__new__(Tensor)
    t._storage, t._type = storage, type_of(tuple(shape), dtype)
    low, high = views.extent(shape, strides, offset)
    if low < 0 or (high + 1) * dtype.itemsize > storage.nbytes() and t._type.numel:
        raise RuntimeError(f"a view of size {list(shape)}, strides {list(strides)} and storage offset {offset} reaches "
                           f"element {high if high >= 0 else low}, outside of a storage of {storage.nbytes()} bytes")
    if offset or not tuple(strides) == t._type.strides:
        t._strides, t._offset = tuple(strides), offset
    return t


def _from_array(array: np.ndarray, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor that takes over an array which nobody else holds (bits, for bfloat16)."""
    d = dtype or dtypes.FROM_NUMPY[array.dtype]
    t = from_node(engine.leaf(Buffer.of(array), type_of(array.shape, d)))
    if requires_grad:
        t.requires_grad = True
    return t


def _rebuild(cls, array: np.ndarray, dtype: DType, requires_grad: bool) -> Tensor:
    t = _from_array(array, dtype)
    if cls is not Tensor:
        t = t._alias(cls)
    t._rg = requires_grad
    return t


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on a numpy array's memory: each sees what the other writes. Raises TypeError for what is not a numeric
    array, ValueError for negative strides."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    d = dtypes.FROM_NUMPY.get(array.dtype)
    if d is None:
        raise TypeError(f"can't convert np.ndarray of type {array.dtype}. The only supported types are: float64, float32, "
                        f"float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool.")
    flags = array.flags
    if flags.c_contiguous and flags.writeable and array.size:
        t = _new(Tensor)
        t._storage, t._type = Storage.from_array(array, d), type_of(array.shape, d)
        return t
    if any(s < 0 for s in array.strides):
        raise ValueError("At least one stride in the given numpy array is negative, and tensors with negative strides are "
                         "not currently supported. (You can probably work around this by making a copy of your array with "
                         "array.copy().)")
    if any(s % d.itemsize for s in array.strides) and array.size:
        raise ValueError("given numpy array strides not a multiple of the element byte size. Copy the numpy array.")
    if not array.flags.writeable:
        import warnings
        warnings.warn("The given NumPy array is not writable, and PyTorch does not support non-writable tensors. Writing "
                      "to this tensor would write to the array: copy it first if that matters.", UserWarning, stacklevel=2)
    strides = [s // d.itemsize for s in array.strides]
    if not array.size:
        return _from_array(np.empty(array.shape, d.numpy), d)
    span = views.extent(array.shape, strides, 0)[1] + 1
    memory = np.lib.stride_tricks.as_strided(array.reshape(-1)[:1] if array.ndim == 0 else array[(slice(0, 1),) * array.ndim],
                                             (span,), (d.itemsize,))
    return _from_storage(Storage.from_array(memory, d), d, array.shape, strides, 0)


def _legacy_constructor(d: DType, args: tuple, kwargs: dict) -> Tensor:
    """``Tensor(2, 3)`` uninitialised of that size, ``Tensor([1, 2])`` of those values."""
    from .ops.creation import empty, tensor
    check_device(kwargs.pop("device", None))
    if kwargs:
        raise TypeError(f"Tensor() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if not args:
        return empty(0, dtype=d)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach() if args[0].dtype is d else args[0].detach().to(d)
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        return tensor(args[0], dtype=d)
    return empty(*args, dtype=d)


# -- views and in-place writes on the tape ---------------------------------------------------------------------------------

def _layout(t: Tensor) -> tuple:
    return tuple(t.shape), tuple(t.stride()), t._offset


def _as_strided_grad(g: Tensor, view, base) -> Tensor:
    """The gradient of a strided view, on its base: each element of the base gets the sum of what shows it."""
    shape, strides, offset = base
    low, high = views.extent(shape, strides, offset)
    vshape, vstrides, voffset = view
    vlow, vhigh = views.extent(vshape, vstrides, voffset)
    low, high = min(low, vlow), max(high, vhigh)
    from .ops.movement import fold, strided
    flat = fold(g, (high - low + 1,), (vshape, vstrides, voffset - low))
    return strided(flat, (shape, strides, offset - low))


AS_STRIDED = Rule("AsStrided", ("input",), {"input": _as_strided_grad})


def view_of(t: Tensor, shape, strides, offset: int, rule: Rule | None, dtype: DType | None = None, **params) -> Tensor:
    """A tensor on the same storage: shape, strides, offset in elements of the storage. ``rule`` is its gradient."""
    v = object.__new__(Tensor)
    v._storage = t._storage
    v._type = type_of(tuple(shape), dtype or t._type.dtype)
    if offset or tuple(strides) != v._type.strides or t._strides is not None:
        v._strides, v._offset = tuple(strides), offset
    if modes.inference:
        v._inference = True
    if t._hidden is not None:
        v._hidden = t._hidden
    base = t._base if t._base is not None else t
    if rule is not None:
        if t._base is not None:
            t._refresh_autograd()
        v._base, v._rebases = base, base._rebases
        if t._rg and modes.grad:
            view_on_tape(v, t, rule, params)
    return v


def view_on_tape(v: Tensor, t: Tensor, rule: Rule, params: dict) -> None:
    if v._type.dtype.kind not in "fc":
        return
    put(rule, 1, (edge_of(t),), (v,), (t,), (None,), params)
    v._nr = 0


def _copy_slices_grad(g: Tensor, view) -> tuple[Tensor, Tensor]:
    """Base and value of a write through a view: the base's gradient is zero where it was written over."""
    from .ops.movement import strided, write
    shape, strides, offset, base = view
    value = strided(g, (shape, strides, offset), base)
    zero = value.new_zeros(()).expand(shape)
    return write(g, zero, (shape, strides, offset), base), value


COPY_SLICES = Rule("CopySlices", ("base", "value"), _copy_slices_grad)


def check_inplace(t: Tensor) -> None:
    """Raises RuntimeError where PyTorch forbids an in-place write while gradients are recorded."""
    if t._inference and not modes.inference and t._rg:
        raise RuntimeError("Inplace update to inference tensor outside InferenceMode is not allowed.")
    if modes.grad and t.requires_grad:
        if t._fn is None or t._fn._leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
        base = t._base
        if base is not None and base._rg and (base._fn is None or base._fn._leaf):
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def assign(t: Tensor, value: Tensor, name: str = "CopyBackwards") -> Tensor:
    """``t`` gets the elements of ``value`` (of its shape and dtype) in place, on the tape too. The end of every
    in-place operator: the operator computes ``value`` from what ``t`` was."""
    node = value._value()
    tape = modes.grad and (value._rg or t.requires_grad) and t._type.dtype.kind in "fc"
    if not tape:
        t._write(node)
        return t
    base = t._base
    if base is None:
        t._write(node)
        edge = edge_of(value)
        if edge is not None and isinstance(edge[0], AccumulateGrad):  # the elements of a leaf as they are
            edge = edge_of(value.view(value._type.shape))
        if edge is None:
            t._fn, t._nr, t._rg = None, 0, False
        else:
            fn, nr = edge
            t._fn, t._nr, t._rg = fn, nr, True
            if t._retains:
                t._retains = False
                t.retain_grad()
        t._rebases += 1
        return t
    view = (tuple(t.shape), tuple(t.stride()), t._offset, _layout(base))
    node_base, stand_in = base._value() if base._type.numel else None, base._alias()
    stand_in._rg, stand_in._fn, stand_in._nr, stand_in._accumulate = base._rg, base._fn, base._nr, base._accumulate
    t._write(node)
    rewritten = base._alias()
    track(COPY_SLICES, (rewritten,), (stand_in, value), (node_base, node), {"view": view})
    base._fn, base._nr, base._rg = rewritten._fn, rewritten._nr, rewritten._rg
    base._rebases += 1
    t._refresh_autograd()
    return t


def tensor_like(x) -> bool:
    return isinstance(x, Tensor)


def contiguous_type_strides(shape) -> tuple[int, ...]:
    return contiguous_strides(shape)
