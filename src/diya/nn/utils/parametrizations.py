"""Ready-made parametrizations."""

from __future__ import annotations

import diya

from ...tensor import Tensor
from .. import functional as F
from ..modules.module import Module
from . import parametrize
from .weight_norm import norm_except

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """g · v / ‖v‖, the norm taken over all dimensions but ``dim``."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int = 0) -> Module:
    """Splits a parameter into its magnitude along ``dim`` (``original0``) and its direction (``original1``)."""
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def from_hook_form(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        g_key, v_key = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if g_key in state_dict and v_key in state_dict:
            state_dict[f"{prefix}parametrizations.{name}.original0"] = state_dict.pop(g_key)
            state_dict[f"{prefix}parametrizations.{name}.original1"] = state_dict.pop(v_key)

    module._register_load_state_dict_pre_hook(from_hook_form)
    return module


class _SpectralNorm(Module):
    """W / σ(W), with σ estimated by power iteration."""

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError("Expected n_power_iterations to be positive, but got "
                             f"n_power_iterations={n_power_iterations}")
        self.dim = dim if dim >= 0 else dim + ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            with diya.no_grad():
                matrix = self._reshape_weight_to_matrix(weight)
                h, w = matrix.size()
                u = matrix.new_empty(h).normal_(0, 1)
                v = matrix.new_empty(w).normal_(0, 1)
                self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
                self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
                self._power_method(matrix, 15)

    def _reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        if self.dim != 0:
            weight = weight.permute(self.dim, *[d for d in range(weight.dim()) if d != self.dim])
        return weight.flatten(1)

    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        with diya.no_grad():
            for _ in range(n_power_iterations):
                self._u.copy_(F.normalize(diya.mv(weight_mat, self._v), dim=0, eps=self.eps))
                self._v.copy_(F.normalize(diya.mv(weight_mat.t(), self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / diya.dot(u, diya.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> Module:
    """Divides a parameter by its largest singular value, estimated anew at every access in training."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        from ..modules import conv
        transposed = (conv.ConvTranspose1d, conv.ConvTranspose2d, conv.ConvTranspose3d)
        dim = 1 if isinstance(module, transposed) else 0
    parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


class _Orthogonal(Module):
    """An orthogonal matrix from a skew-symmetric one, by its exponential or by Cayley's transform."""

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.orthogonal_map = orthogonal_map
        self.base: Tensor | None
        if use_trivialization:
            n = max(weight.size(-2), weight.size(-1))
            self.register_buffer("base", diya.eye(n, dtype=weight.dtype, device=weight.device))
        else:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        rows, cols = x.size(-2), x.size(-1)
        wide = rows < cols
        if wide:
            x = x.mT
            rows, cols = cols, rows
        a = x.tril()
        if rows != cols:
            a = diya.cat([a, a.new_zeros(*a.shape[:-1], rows - cols)], dim=-1)
        a = a - a.mH
        if self.orthogonal_map == "matrix_exp":
            q = diya.matrix_exp(a)
        else:
            eye = diya.eye(rows, dtype=a.dtype, device=a.device)
            q = diya.linalg.solve(eye + 0.5 * a, eye - 0.5 * a)
        if rows != cols:
            q = q[..., :cols]
        if self.base is not None:
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, q: Tensor) -> Tensor:
        if q.shape[-2] != q.shape[-1] and self.base is None:
            raise NotImplementedError("orthogonal: assigning to a non-square matrix needs use_trivialization=True")
        if self.base is None:
            raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley "
                                      "parametrizations when use_trivialization=False.")
        wide = q.size(-2) < q.size(-1)
        tall = q.mT if wide else q
        basis, r = diya.linalg.qr(tall, mode="complete")
        k = tall.size(-1)
        basis = basis.clone()
        basis[..., :k] *= r.diagonal(dim1=-2, dim2=-1)[..., :k].sign().unsqueeze(-2)
        self.base.copy_(basis)
        # Zero is where the map gives the identity, so that the result is the base; its diagonal carries signs.
        return diya.zeros_like(q)


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *,
               use_trivialization: bool = True) -> Module:
    """Makes a parameter (a batch of matrices) orthogonal. Maps: ``matrix_exp`` and ``cayley``."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.size(-2) == weight.size(-1) else "householder"
    if orthogonal_map == "householder":
        raise NotImplementedError("orthogonal: the map 'householder' is not supported; use 'matrix_exp' or 'cayley'")
    if orthogonal_map not in ("matrix_exp", "cayley"):
        raise ValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
                         f"Got: {orthogonal_map}")
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    parametrize.register_parametrization(module, name, made, unsafe=True)
    return module
