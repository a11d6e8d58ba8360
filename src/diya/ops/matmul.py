"""Matrix products of every kind, as contractions."""

from __future__ import annotations

from functools import lru_cache

from .. import dtypes
from ..autograd.tape import sum_to
from ..graph import Affine, Contraction, broadcast_shapes
from ..tensor import Tensor, check_inplace
from .contraction import contract
from .record import _long_name, element, operator, result_type, snapshot, write_inplace


def _v(*index: int) -> tuple[Affine, ...]:
    return tuple(Affine(((i, 1),)) for i in index)


def _same_dtype(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: expected both operands to have the same dtype, but got: {_long_name(a.dtype)} and "
                           f"{_long_name(b.dtype)}: convert one with .to(dtype)")


def _two_d(name: str, **tensors: Tensor) -> None:
    for argument, (x, rank) in {k: v if isinstance(v, tuple) else (v, 2) for k, v in tensors.items()}.items():
        if x.dim() != rank:
            raise RuntimeError(f"{name}: expected {argument} to be {rank}-D, got {x.dim()}-D of size {list(x.shape)}")


@operator(takes="uifc")
def mm(input, mat2):
    if input.dim() != 2 or mat2.dim() != 2:
        raise RuntimeError("self must be a matrix" if input.dim() != 2 else "mat2 must be a matrix")
    _same_dtype("mm", input, mat2)
    (m, k), (k2, n) = input.shape, mat2.shape
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({m}x{k} and {k2}x{n})")
    return contract(input, mat2, Contraction((m, n, k), 2, _v(0, 2), _v(2, 1)), "Mm")


@operator(takes="uifc")
def bmm(input, mat2):
    if input.dim() != 3 or mat2.dim() != 3:
        raise RuntimeError("batch1 must be a 3D tensor" if input.dim() != 3 else "batch2 must be a 3D tensor")
    _same_dtype("bmm", input, mat2)
    (b, m, k), (b2, k2, n) = input.shape, mat2.shape
    if b != b2 or k != k2:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{b}, {k}] but got: [{b2}, {k2}].")
    return contract(input, mat2, Contraction((b, m, n, k), 3, _v(0, 1, 3), _v(0, 3, 2)), "Bmm")


@operator(takes="uifc")
def dot(input, tensor):
    if input.dim() != 1 or tensor.dim() != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.dim()}D and {tensor.dim()}D tensors")
    _same_dtype("dot", input, tensor)
    if input.shape != tensor.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor {list(input.shape)} and src {list(tensor.shape)} to have "
                           f"the same number of elements, but got {input.numel()} and {tensor.numel()} elements respectively")
    return contract(input, tensor, Contraction((input.shape[0],), 0, _v(0), _v(0)), "Dot")


@operator(takes="uifc")
def vdot(input, other):
    return dot(input.conj(), other)


@operator(takes="uifc")
def mv(input, vec):
    if input.dim() != 2 or vec.dim() != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {vec.dim()}, {input.dim()}, {vec.dim()}")
    _same_dtype("mv", input, vec)
    (m, k), (k2,) = input.shape, vec.shape
    if k != k2:
        raise RuntimeError(f"size mismatch, got input ({m}), mat ({m}x{k}), vec ({k2})")
    return contract(input, vec, Contraction((m, k), 1, _v(0, 1), _v(1)), "Mv")


@operator(aliases=("ger",))
def outer(input, vec2):
    if input.dim() != 1 or vec2.dim() != 1:
        raise RuntimeError(f"outer: Expected 1-D argument self, but got {input.dim()}-D and {vec2.dim()}-D")
    return input.unsqueeze(1) * vec2


@operator(takes="uifc")
def matmul(input, other):
    a, b = input, other
    if not isinstance(other, Tensor):
        raise TypeError(f"matmul(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    if not a.dim() or not b.dim():
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.dim()}D and {b.dim()}D")
    _same_dtype("matmul", a, b)
    if a.dim() == 1 and b.dim() == 1:
        return dot(a, b)
    k, k2 = a.shape[-1], b.shape[-2 if b.dim() > 1 else 0]
    if k != k2:
        rows = a.numel() // k if k and a.dim() > 1 else 1
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{k} and {k2}x{b.shape[-1] if b.dim() > 1 else 1}): "
                           f"the last dimension of {list(a.shape)} must equal the {'second to last' if b.dim() > 1 else 'only'} "
                           f"dimension of {list(b.shape)}")
    squeeze_a, squeeze_b, spec = _matmul_spec(a.shape, b.shape)
    if squeeze_a:
        a = a.squeeze(squeeze_a)
    if squeeze_b:
        b = b.squeeze(squeeze_b)
    return contract(a, b, spec, "Mm" if input.dim() == other.dim() == 2 else "Bmm")


@lru_cache(4096)
def _matmul_spec(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], Contraction]:
    """Batch dimensions of each operand that only broadcast (they are dropped), and the contraction of what is left: its
    index variables are the common batch dimensions, then m and n where there are, then k."""
    batch = broadcast_shapes(a[:-2], b[:-2])
    sizes = list(batch)
    m = n = -1
    if len(a) > 1:
        m = len(sizes)
        sizes.append(a[-2])
    if len(b) > 1:
        n = len(sizes)
        sizes.append(b[-1])
    k = len(sizes)
    sizes.append(a[-1])  # pyright: ignore[reportGeneralTypeIssues]

    def operand(shape, inner):
        lead = len(batch) - (len(shape) - 2)
        own = range(max(0, len(shape) - 2))
        gone = tuple(d for d in own if shape[d] == 1 and batch[lead + d] != 1)
        return gone, _v(*[lead + d for d in own if d not in gone], *inner)
    gone_a, at_a = operand(a, (m, k) if len(a) > 1 else (k,))
    gone_b, at_b = operand(b, (k, n) if len(b) > 1 else (k,))
    return gone_a, gone_b, Contraction(tuple(sizes), k, at_a, at_b)


Tensor.__matmul__ = lambda self, other: matmul(self, other) if isinstance(other, Tensor) else NotImplemented  # type: ignore
Tensor.__rmatmul__ = lambda self, other: matmul(other, self) if isinstance(other, Tensor) else NotImplemented  # type: ignore


def _is_half(x: Tensor) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.kind == "f"


def _scaled(x: Tensor, beta, product: Tensor, alpha, terms: int = 1) -> Tensor:
    """``beta`` x + ``alpha`` product, where each element of the product is the sum of so many terms."""
    if x.dtype is not product.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {_long_name(x.dtype)} and {_long_name(product.dtype)}")
    if x.shape != product.shape and (x.dim() > product.dim() or any(
            s not in (1, n) for s, n in zip(reversed(x.shape), reversed(product.shape), strict=False))):
        raise RuntimeError(f"expand({x.dtype}{list(x.shape)}, size={list(product.shape)}): the input does not broadcast to the "
                           f"product that it is added to")
    beta, alpha = element(beta, x.dtype), element(alpha, x.dtype)
    if alpha != 1 and terms:
        product = product * alpha
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product


@operator(inplace=True, takes="uifc")
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    if input.dtype is mat1.dtype is mat2.dtype and _is_half(input):  # rounded once
        return addmm(*[x.to(dtypes.float32) for x in (input, mat1, mat2)], beta=beta, alpha=alpha).to(input.dtype)
    return _scaled(input, beta, mm(mat1, mat2), alpha, mat1.shape[1]).contiguous()


@operator(inplace=True, takes="uifc")
def addmv(input, mat, vec, *, beta=1, alpha=1):
    return _scaled(input, beta, mv(mat, vec), alpha, mat.shape[1])


@operator(inplace=True, takes="uifc")
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    if input.dtype is batch1.dtype is batch2.dtype and _is_half(input):  # rounded once
        return baddbmm(*[x.to(dtypes.float32) for x in (input, batch1, batch2)], beta=beta, alpha=alpha).to(input.dtype)
    return _scaled(input, beta, bmm(batch1, batch2), alpha, batch1.shape[2]).contiguous()


@operator(inplace=True, takes="uifc")
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    if input.dtype is batch1.dtype is batch2.dtype and _is_half(input) and batch1.shape[0]:  # rounded after each, as PyTorch does
        out = input
        for i, (a, b) in enumerate(zip(batch1.unbind(), batch2.unbind(), strict=True)):
            wide = [x.to(dtypes.float32) for x in (out, a, b)]
            out = addmm(*wide, beta=1 if i else beta, alpha=alpha).to(input.dtype)
        return out
    return _scaled(input, beta, bmm(batch1, batch2).sum(0, dtype=batch1.dtype), alpha)


def _addbmm_(self, batch1, batch2, *, beta=1, alpha=1):
    """In-place version of `addbmm`: a tensor that broadcasts takes the result's size, as PyTorch has it."""
    check_inplace(self)
    out = addbmm(snapshot(self), batch1, batch2, beta=beta, alpha=alpha)
    if self.shape != out.shape:
        self.resize_(out.shape)
    return write_inplace(self, out)


Tensor.addbmm_ = _addbmm_  # type: ignore[attr-defined]


@operator(inplace=True)
def addr(input, vec1, vec2, *, beta=1, alpha=1):
    d = result_type(input, vec1, vec2)
    for name, x in (("beta", beta), ("alpha", alpha)):
        if d.kind in "biu" and isinstance(x, float):
            raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
        if d.kind != "b" and isinstance(x, bool):
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
    if input.dim() > 2:
        raise RuntimeError(f"expand({input.dtype}{list(input.shape)}, size=[{vec1.numel()}, {vec2.numel()}]): addr's input is at "
                           f"most a matrix")
    input, vec1, vec2 = input.to(d), vec1.to(d), vec2.to(d)
    if d.kind == "b":
        product = outer(vec1, vec2) if alpha else vec1.new_zeros((vec1.shape[0], vec2.shape[0]))
        return input | product if beta else product
    if _is_half(input):  # rounded after each step, the factors too
        b, a = (input.new_full((), x) for x in (beta, alpha))
        product = outer(vec1 * a, vec2)
        return input * b + product if beta else product
    return _scaled(input, beta, outer(vec1, vec2), alpha)


@lru_cache(4096)
def _linear_specs(lead: tuple[int, ...], outs: int, ins: int) -> tuple[Contraction, Contraction, Contraction]:
    """The contractions of a linear layer: its output, the gradient of its input, and that of its weight."""
    n = len(lead)
    batch = range(n)
    return (Contraction((*lead, outs, ins), n + 1, _v(*batch, n + 1), _v(n, n + 1)),
            Contraction((*lead, ins, outs), n + 1, _v(*batch, n + 1), _v(n + 1, n)),
            Contraction((outs, ins, *lead), 2, _v(*range(2, n + 2), 0), _v(*range(2, n + 2), 1)))


def _linear_input_grad(g, weight):
    if weight.dim() == 1:
        return g.unsqueeze(-1) * weight.conj()
    return contract(g, weight.conj(), _linear_specs(tuple(g.shape[:-1]), *weight.shape)[1], "Mm")


def _linear_weight_grad(g, input, shape, weight):
    if weight.dim() == 1:
        return g.reshape(-1) @ input.conj().reshape(-1, shape[-1])
    return contract(g, input.conj(), _linear_specs(tuple(shape[:-1]), *weight.shape)[2], "Mm")


_LINEAR = dict(input=_linear_input_grad, weight=_linear_weight_grad, bias=lambda g, types: sum_to(g, types[2].shape))


@operator("nn.functional.linear", method=False, grad=_LINEAR, inputs=("input", "weight", "bias"), node="Addmm", takes="uifc")
def linear(input, weight, bias=None):
    if weight.dim() not in (1, 2):
        raise RuntimeError(f"linear: weight must be 1-D or 2-D, got size {list(weight.shape)}")
    if not input.dim() or input.shape[-1] != weight.shape[-1]:
        rows = input.numel() // input.shape[-1] if input.dim() and input.shape[-1] else 1
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1] if input.dim() else 1} and "
                           f"{weight.shape[-1]}x{weight.shape[0]}): linear expects an input whose last dimension is "
                           f"{weight.shape[-1]}, got {list(input.shape)}")
    _same_dtype("linear", input, weight)
    if bias is not None:
        _same_dtype("linear", bias, weight)
        if input.dim() == 2 and bias.dim() > 2:
            raise RuntimeError(f"expand({bias.dtype}{list(bias.shape)}): linear's bias has more dimensions than its result")
        if weight.dim() == 1 and bias.dim():
            raise RuntimeError(f"mat2 must be a matrix, got 1-D tensor: linear's weight of {list(weight.shape)} with a bias")
    if bias is not None and _is_half(input):  # rounded once, as PyTorch does
        return linear(*[x.to(dtypes.float32) for x in (input, weight, bias)]).to(input.dtype)
    if weight.dim() == 1:
        out = matmul(input, weight)
    else:
        out = contract(input, weight, _linear_specs(tuple(input.shape[:-1]), *weight.shape)[0])
    return out if bias is None else out + bias
