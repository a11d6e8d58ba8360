"""Sampling: tensors of random numbers, PyTorch's own for a seed.

The numbers come from a stream whose position every draw moves, so they are drawn at the call, on the host, not
recorded. Sampling inside programs (dropout) is counter-based: see `diya.ops.dropout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import dtypes, engine, views
from ..autograd.modes import modes
from ..autograd.tape import Rule, track
from ..device import META, is_meta
from ..dtypes import int64
from ..graph import broadcast_shapes, infer_elementwise, primitive
from ..tensor import Tensor, _from_array, assign, check_inplace
from .creation import _like_sizes, empty, refuse_sparse
from .movement import copied, order_for, stack
from .record import _long_name, elementwise, operator


def _generator(generator):
    if generator is None:
        from ..random import default_generator
        return default_generator
    return generator


def _draw(name: str, generator, *args) -> np.ndarray:
    from .. import sampling
    return getattr(sampling, name)(_generator(generator), *args)


def sampled(shape, draw: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """``draw(shape)``; inside of vmap for each element of the batch, or once, as its ``randomness`` says."""
    if not modes.levels:
        return draw(tuple(shape)) if engine.drawing is None else engine.drawing.drawn(tuple(shape), draw)
    from ..func.randomness import drawn
    return drawn(tuple(shape), draw)


def _sampled_from(x: Tensor, draw: Callable[[np.ndarray], Tensor]) -> Tensor:
    """``draw`` of a tensor's elements; inside of vmap as `sampled`."""
    if modes.levels:
        from ..func.randomness import drawn_from
        return drawn_from(x, lambda: draw(x._to_array()))
    return draw(x._to_array())


def _make(shape, draw: Callable[[tuple[int, ...]], np.ndarray], dtype, device, requires_grad: bool) -> Tensor:
    if is_meta(device):
        return empty(shape, dtype=dtype, device=device, requires_grad=requires_grad)
    t = sampled(shape, lambda shape: _from_array(draw(shape), dtype))
    return t.requires_grad_() if requires_grad else t


def _maker(name: str, sample: str):
    def make(*size, generator=None, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False,
             names=None, **named):
        d = dtype or dtypes.default_dtype
        refuse_sparse(name, layout)
        return _make(_like_sizes(size, named), lambda shape: _draw(sample, generator, shape, d), d, device, requires_grad)
    make.__name__ = make.__qualname__ = name
    return operator(name, method=False, differentiable=False)(make)


rand = _maker("rand", "uniform")
randn = _maker("randn", "normal")


def _like(sample: str, values: tuple, input: Tensor, dtype, device, requires_grad: bool, format, generator) -> Tensor:
    """A sample of the shape of ``input``, which lies and is drawn in the order that this has in memory."""
    d, order = dtype or input.dtype, order_for(input, format)
    shape = input.shape if order is None else [input.shape[k] for k in order]
    t = _make(tuple(shape), lambda shape: _draw(sample, generator, shape, d, *values), d, device or input.device, False)
    t = t if order is None else copied(t.permute([order.index(k) for k in range(len(order))]), order)
    return t.requires_grad_() if requires_grad else t


@operator(method=False, differentiable=False)
def rand_like(input, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, memory_format=None,
              generator=None):
    return _like("uniform", (), input, dtype, device, requires_grad, memory_format, generator)


@operator(method=False, differentiable=False)
def randn_like(input, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False, memory_format=None,
               generator=None):
    values = (0.0, 1.0, order_for(input, memory_format) is None)
    return _like("normal", values, input, dtype, device, requires_grad, memory_format, generator)


@operator(method=False, differentiable=False)
def randint(*args, low=None, high=None, size=None, generator=None, dtype=None, device=None, requires_grad=False, layout=None,
            pin_memory=False):
    values = list(args)
    if size is None and values and isinstance(values[-1], (tuple, list)):
        size = values.pop()
    if size is None:
        raise TypeError("randint() missing a size: randint(low=0, high, size)")
    if high is None:
        high = values.pop()
    low = values.pop() if values else 0 if low is None else low
    d = dtype or int64
    if not low < high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return _make(size, lambda shape: _draw("randint", generator, shape, d, int(low), int(high)), d, device, requires_grad)


@operator(method=False, differentiable=False)
def randint_like(input, low=None, high=None, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False,
                 memory_format=None):
    low, high = (0, low) if high is None else (low, high)
    high = high.item() if isinstance(high, Tensor) else high
    if not low < high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    return _like("randint", (int(low), int(high)), input, dtype, device, requires_grad, memory_format, None)


@operator(method=False, differentiable=False)
def randperm(n, *, generator=None, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    d = dtype or int64

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        orders = [_draw("randperm", generator, n, d) for _ in range(math.prod(shape[:-1]))]
        return np.stack(orders).reshape(shape) if orders else np.empty(shape, d.numpy)
    return _make((n,), draw, d, device, requires_grad)


@operator(grad=dict(input=lambda g: g * 0))  # as PyTorch has it: 0, not none
def bernoulli(input, p=None, *, generator=None):
    if input.device is META:
        return input.new_empty(input.shape)
    if p is not None:
        return sampled(input.shape, lambda shape: _from_array(_draw("bernoulli", generator, shape, input.dtype, float(p)),
                                                              input.dtype))
    return _sampled_from(input, lambda x: _from_array(_draw("bernoulli_each", generator, x, input.dtype, input.dtype),
                                                      input.dtype))


def slopes(x: Tensor, low: float, high: float) -> Tensor:
    """Factors for the elements of ``x``: for those not above 0 drawn from [low, high), one after the other; 1 for the others."""
    def draw(a: np.ndarray) -> Tensor:
        chosen = dtypes.load_array(a, x.dtype) <= 0
        factors = np.ones(a.shape, np.float64)
        factors[chosen] = _draw("uniform", None, (int(chosen.sum()),), dtypes.float64) * (high - low) + low
        return _from_array(dtypes.store_array(factors.astype(x.dtype.compute), x.dtype), x.dtype)
    return _sampled_from(x, draw)


@operator(differentiable=False)
def multinomial(input, num_samples, replacement=False, *, generator=None):
    if input.dim() and not input.shape[-1] and num_samples > 0:
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    turned = input.dim() == 2 and views.memory_order(input.shape, input.stride()) == (1, 0)
    return _sampled_from(input, lambda x: _from_array(_draw("multinomial", generator, x, input.dtype, num_samples, replacement,
                                                            turned), int64))


def _tracked(name: str, t: Tensor, inputs: tuple[Tensor, ...], grad) -> Tensor:
    """A sample on the tape, where ``grad`` says how it moves with its parameters."""
    if modes.grad and any(x.requires_grad for x in inputs):
        track(Rule(name, ("input", "other")[:len(inputs)], grad), (t,), inputs, tuple(x._value() for x in inputs), {})
    return t


def _drawn_for(name: str, generator, x: Tensor) -> Tensor:
    """Samples with the elements of ``x`` as parameters."""
    return _sampled_from(x.detach(), lambda a: _from_array(_draw(name, generator, a, x.dtype), x.dtype))


def _no_gradient(name: str):
    def refuse(g):
        raise RuntimeError(f"derivative for aten::{name} is not implemented")
    return refuse


@operator(method=False)
def poisson(input, generator=None):
    """Counts of events with ``input`` as their mean."""
    return _tracked("Poisson", _drawn_for("poisson", generator, input), (input,), dict(input=lambda g: g * 0))


@operator(method=False, differentiable=False)
def binomial(count, prob, generator=None):
    """The successes in ``count`` trials of probability ``prob``."""
    for name, x in (("count", count), ("prob", prob)):
        if not x.dtype.is_floating_point:
            raise ValueError(f"binomial only supports floating-point dtypes for {name}, got: {_long_name(x.dtype)}")
    if count.dtype is not prob.dtype:
        raise RuntimeError(f"Found dtype {_long_name(prob.dtype)} but expected {_long_name(count.dtype)}")
    shape = broadcast_shapes(count.shape, prob.shape)
    both = stack((count.detach().expand(shape), prob.detach().expand(shape)))
    t = _sampled_from(both, lambda a: _from_array(_draw("binomial", generator, a[0], a[1], count.dtype), count.dtype))
    refuse = _no_gradient("binomial")
    return _tracked("Binomial", t, (count, prob), dict(input=refuse, other=refuse))


@operator("_standard_gamma", method=False)
def standard_gamma(input, generator=None):
    """Gamma samples of concentration ``input`` and rate 1, with the implicit gradient (Figurnov et al., 2018)."""
    return _tracked("StandardGamma", _drawn_for("standard_gamma", generator, input), (input,),
                    dict(input=lambda g, input, out: g * standard_gamma_grad(input, out)))


@operator("_sample_dirichlet", method=False, differentiable=False)
def sample_dirichlet(input, generator=None):
    """Dirichlet samples of concentrations ``input`` over the last dimension; `distributions.Dirichlet` has the gradient."""
    return _tracked("SampleDirichlet", _drawn_for("dirichlet", generator, input), (input,),
                    dict(input=_no_gradient("_sample_dirichlet")))


def _implicit(path: str, function: str, inputs: tuple[str, ...]):
    def interpret(attrs, *arrays):
        from ..numerics import implicit
        return getattr(implicit, function)(*arrays).astype(np.asarray(arrays[0]).dtype)
    return elementwise(path, primitive("random." + function, "elementwise", infer_elementwise, interpret=interpret), inputs,
                       complex_ok=False, grad=dict.fromkeys(inputs, _no_gradient(path)), method=False)


standard_gamma_grad = _implicit("_standard_gamma_grad", "gamma_gradient", ("input", "output"))
dirichlet_grad = _implicit("_dirichlet_grad", "beta_gradient", ("x", "alpha", "total"))


@operator(method=False, inputs=("mean", "std"),  # as PyTorch has it: 0 for both
          grad=dict(mean=lambda g, mean: mean.new_zeros(mean.shape), std=lambda g, std: std.new_zeros(std.shape)))
def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None, requires_grad=False, layout=None,
           pin_memory=False):
    for what, x in (("mean", mean), ("std", std)):
        if not isinstance(x, (int, float, Tensor)):
            raise TypeError(f"normal(): argument '{what}' must be a number or Tensor, not {type(x).__name__}")
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal() missing 1 required argument: 'size'")
        d = dtype or dtypes.default_dtype
        shape = _like_sizes((size,), {})
        return _make(shape, lambda shape: _draw("normal", generator, shape, d, float(mean), float(std)), d, device, requires_grad)
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if isinstance(std, Tensor) and std.dtype.kind == "c":
        raise RuntimeError("normal expects standard deviation to be non-complex")
    d = dtype or tensors[0].dtype
    shape = broadcast_shapes(*(x.shape for x in tensors))
    std = std.to(d) if isinstance(std, Tensor) else std
    return sampled(shape, lambda shape: _from_array(_draw("normal", generator, shape, d), d)) * std + mean


def _fill_memory(self: Tensor, sample) -> Tensor:
    """Assigns ``sample(shape, order)``, drawn with the dimensions in the order that they have in memory."""
    check_inplace(self)
    if self.device is META:
        return assign(self, self.detach())
    order = views.memory_order(self.shape, self.stride())

    def draw(shape: tuple[int, ...]) -> Tensor:
        lead = len(shape) - len(order)  # the sizes of batches, inside of vmap
        array = sample(shape[:lead] + tuple(shape[lead + d] for d in order), order)
        back = (*range(lead), *[lead + d for d in np.argsort(order)])
        return _from_array(np.asarray(array.transpose(back), order="C"), self.dtype)
    if modes.levels:
        from ..func.randomness import check_filled
        check_filled(self)
    return assign(self, sampled(self.shape, draw))


def _fill(name: str, sample: str, parameters: tuple[tuple[str, float | None], ...]):
    """An in-place sampler ``name(self, *parameters, generator=None)``."""
    names = [p for p, _ in parameters]

    def fill(self, *args, generator=None, **kwargs):
        if len(args) > len(names):
            raise TypeError(f"{name}() takes at most {len(names)} arguments, got {len(args)}")
        given = {**dict(parameters), **dict(zip(names, args, strict=False)), **kwargs}
        unknown = set(given) - set(names)
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown.pop()!r}")
        missing = [k for k, v in given.items() if v is None]
        if missing:
            raise TypeError(f"{name}() missing the argument {missing[0]!r}")
        values = [given[k] for k in names]
        if sample == "normal":
            values.append(self.is_contiguous())
        return _fill_memory(self, lambda shape, _: _draw(sample, generator, shape, self.dtype, *values))
    fill.__name__ = name
    fill.__qualname__ = f"Tensor.{name}"
    fill.__doc__ = f"Fills the tensor in place with samples: ``{name}({', '.join(names)}, generator=None)``."
    setattr(Tensor, name, fill)


_fill("uniform_", "uniform", (("from", 0.0), ("to", 1.0)))
_fill("normal_", "normal", (("mean", 0.0), ("std", 1.0)))
_fill("exponential_", "exponential", (("lambd", 1.0),))
_fill("cauchy_", "cauchy", (("median", 0.0), ("sigma", 1.0)))
_fill("log_normal_", "log_normal", (("mean", 1.0), ("std", 2.0)))
_fill("geometric_", "geometric", (("p", None),))


def _random_(self, *args, generator=None, **kwargs):
    """Fills with integers from [from, to), or from all that the dtype holds."""
    low, high = kwargs.get("from"), kwargs.get("to")
    if len(args) == 1:
        low, high = (0, args[0]) if high is None else (args[0], high)
    elif len(args) == 2:
        low, high = args
    if low is None and high is None:
        return _fill_memory(self, lambda shape, _: _draw("random", generator, shape, self.dtype))
    return _fill_memory(self, lambda shape, _: _draw("randint", generator, shape, self.dtype, low or 0, high))


def _bernoulli_(self, p=0.5, *, generator=None):
    """Fills with 1 at probability ``p`` (a number, or a tensor of probabilities), else 0."""
    if not isinstance(p, Tensor):
        return _fill_memory(self, lambda shape, _: _draw("bernoulli", generator, shape, self.dtype, p))
    if modes.levels:
        return assign(self, bernoulli(p.expand(self.shape), generator=generator).to(self.dtype))
    each = p.expand(self.shape)._to_array()
    return _fill_memory(self, lambda _, order: _draw("bernoulli_each", generator, each.transpose(order), p.dtype,
                                                     self.dtype))


Tensor.random_, Tensor.bernoulli_ = _random_, _bernoulli_  # type: ignore[attr-defined]
