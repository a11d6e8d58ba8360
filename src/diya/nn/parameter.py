# Mixins and parameters: another base class, or the instance, has the attributes that a checker misses here.
# pyright: reportAttributeAccessIssue=false
"""`Parameter` and `Buffer`: tensors that a module registers when they are assigned to it; and their lazy forms."""

from __future__ import annotations

from collections import OrderedDict

import diya

from ..ops import again
from ..tensor import Tensor

__all__ = ["Parameter", "UninitializedParameter", "is_lazy", "Buffer", "UninitializedBuffer",
           "UninitializedTensorMixin"]


_OWN = frozenset(Tensor.__dict__) | {"_storage", "_type"}


def _view_as(cls, data: Tensor, requires_grad: bool):
    """A leaf of class ``cls`` on the memory of ``data``."""
    made = data.detach().as_subclass(cls)
    made.requires_grad = requires_grad
    return made


class _ParameterMeta(type(Tensor)):
    """A tensor of another subclass that was made a parameter counts as one (it carries ``_is_param``)."""

    def __instancecheck__(cls, instance):
        if cls is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False):
            return True
        return super().__instancecheck__(instance)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is a module's parameter: assigned as an attribute of a module it is registered there.

    ``Parameter(data=None, requires_grad=True)`` shares memory with ``data``.
    """

    _results_keep_class = False

    _is_parameter = True

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True, **of_another):
        if not of_another.keys() <= _OWN:  # what another's __dict__ holds may be handed on, and changes nothing
            raise TypeError(f"Parameter() got an unexpected keyword argument {sorted(of_another.keys() - _OWN)[0]!r}")
        if data is None:
            data = diya.empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter data must be a Tensor, got {type(data).__name__}: make one with tensor(...)")
        if type(data) is Tensor or isinstance(data, Parameter):
            return _view_as(cls, data, requires_grad)
        made = data.detach().requires_grad_(requires_grad)
        if type(made) is not type(data):
            raise RuntimeError(f"Creating a Parameter from an instance of type {type(data).__name__} requires that "
                               f"detach() returns an instance of the same type, but return type {type(made).__name__} "
                               "was found instead.")
        made._is_param = True  # pyright: ignore[reportAttributeAccessIssue]
        return made

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self, *, tensor_contents=None):
        return "Parameter containing:\n" + super().__repr__(tensor_contents=tensor_contents)

    def __reduce_ex__(self, protocol):
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


again.TENSORS.add(Parameter)


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks) -> Parameter:
    return Parameter(data, requires_grad)


class _BufferMeta(type(Tensor)):
    """``isinstance(t, Buffer)`` is a mark on the tensor: a buffer keeps its own class."""

    def __instancecheck__(cls, instance):
        if cls is Buffer:
            return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)
        return super().__instancecheck__(instance)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that a module registers as a buffer when assigned: ``Buffer(data=None, *, persistent=True)``."""

    _results_keep_class = False

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True):
        if data is None:
            data = diya.empty(0)
        made = data.detach().requires_grad_(data.requires_grad)
        made.persistent = persistent  # pyright: ignore[reportAttributeAccessIssue]
        made._is_buffer = True  # pyright: ignore[reportAttributeAccessIssue]
        return made


class UninitializedTensorMixin:
    """A tensor whose shape is not known yet; ``materialize`` gives it one. Other uses raise ValueError."""

    cls_to_become: type
    _results_keep_class = False
    _allowed = frozenset({
        "materialize", "cls_to_become", "requires_grad", "requires_grad_", "data", "dtype", "device", "is_leaf", "grad",
        "grad_fn", "copy_", "is_complex", "is_floating_point", "half", "bfloat16", "float", "double", "char", "short",
        "int", "long", "cuda", "cpu", "to", "type", "get_device", "detach", "persistent", "share_memory_", "shape",
    })

    def __getattribute__(self, name: str):
        if name[0] != "_" and name not in UninitializedTensorMixin._allowed and type(self)._lazy:
            raise ValueError(f"Attempted to use an uninitialized parameter in {name}. This error happens when you are "
                             "using a `LazyModule` or explicitly manipulating `torch.nn.parameter."
                             f"{type(self).__name__}` objects. When using LazyModules Call `forward` with a dummy "
                             "batch to initialize the parameters before calling torch functions")
        return super().__getattribute__(name)

    _lazy = True

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Makes it a tensor of ``shape`` (its content is uninitialised), of ``cls_to_become``, in place."""
        device = self.data.device if device is None else device
        dtype = self.data.dtype if dtype is None else dtype
        self.data = diya.empty(shape, device=device, dtype=dtype)
        self.__class__ = self.cls_to_become

    def _value(self):
        raise ValueError("Attempted to use an uninitialized parameter in an operation. Call `forward` of the lazy "
                         "module "
                         "with a dummy batch to initialize its parameters first.")

    @property
    def shape(self):
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer. This error usually happens "
                           "in `load_state_dict` when trying to load an uninitialized parameter into an initialized "
                           "one. Call `forward` to initialize the parameters before accessing their attributes.")

    def share_memory_(self):
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize "
                           "the parameters before calling `module.share_memory()`.")

    def __repr__(self, *, tensor_contents=None):
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol):
        return type(self), (self.requires_grad,)


def is_lazy(param) -> bool:
    """Whether a parameter or buffer still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape the first forward of a lazy module finds."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device=None, dtype=None):
        return _view_as(cls, diya.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        return memo[id(self)]


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape the first forward of a lazy module finds."""

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True):
        made = _view_as(cls, diya.empty(0, device=device, dtype=dtype), requires_grad)
        made.persistent = persistent  # pyright: ignore[reportAttributeAccessIssue]
        made._is_buffer = True  # pyright: ignore[reportAttributeAccessIssue]
        return made
