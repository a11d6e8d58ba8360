"""L-BFGS (Nocedal and Wright, Numerical Optimization, 2006, chapters 3 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diya

from ..tensor import Tensor
from .optimizer import Optimizer, number

__all__ = ["LBFGS"]


def _cubic_interpolate(x1, f1, g1, x2, f2, g2, bounds=None):
    """The minimum of the cubic with values f and slopes g at x1 and x2, within bounds; their middle if it has none."""
    low, high = bounds if bounds is not None else ((x1, x2) if x1 <= x2 else (x2, x1))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 ** 2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square ** 0.5
    if x1 <= x2:
        at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        at = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(at, low), high)


def _strong_wolfe(evaluate, t, d, f, g, gtd, c1=1e-4, c2=0.9, tolerance_change=1e-9, max_ls=25):
    """A step along ``d`` that meets the strong Wolfe conditions: first a bracket of it, then a zoom into the bracket.

    ``evaluate(t)`` gives loss and gradient there. Returns the loss, the gradient, the step and the evaluations made.
    """
    d_norm = d.abs().max().item()
    g = g.clone()
    f_new, g_new = evaluate(t)
    evaluations = 1
    gtd_new = g_new.dot(d).item()
    t_prev, f_prev, g_prev, gtd_prev = 0, f, g, gtd
    done = False
    iteration = 0
    bracket = []
    while iteration < max_ls:
        if f_new > (f + c1 * t * gtd) or (iteration > 1 and f_new >= f_prev):
            bracket = [(t_prev, f_prev, g_prev, gtd_prev), (t, f_new, g_new.clone(), gtd_new)]
            break
        if abs(gtd_new) <= -c2 * gtd:
            bracket, done = [(t, f_new, g_new, gtd_new)], True
            break
        if gtd_new >= 0:
            bracket = [(t_prev, f_prev, g_prev, gtd_prev), (t, f_new, g_new.clone(), gtd_new)]
            break
        low, high = t + 0.01 * (t - t_prev), t * 10
        last = t
        t = _cubic_interpolate(t_prev, f_prev, gtd_prev, t, f_new, gtd_new, bounds=(low, high))
        t_prev, f_prev, g_prev, gtd_prev = last, f_new, g_new.clone(), gtd_new
        f_new, g_new = evaluate(t)
        evaluations += 1
        gtd_new = g_new.dot(d).item()
        iteration += 1
    if iteration == max_ls:
        bracket = [(0, f, g, gtd), (t, f_new, g_new, gtd_new)]

    slow = False
    low_at, high_at = (0, 1) if len(bracket) == 1 or bracket[0][1] <= bracket[-1][1] else (1, 0)
    while not done and iteration < max_ls:
        if abs(bracket[1][0] - bracket[0][0]) * d_norm < tolerance_change:
            break
        (x1, f1, _, g1), (x2, f2, _, g2) = bracket
        t = _cubic_interpolate(x1, f1, g1, x2, f2, g2)
        # A step too near an end of the bracket, twice in a row or at the end itself, is moved a tenth of it inside.
        left, right = min(x1, x2), max(x1, x2)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if slow or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        f_new, g_new = evaluate(t)
        evaluations += 1
        gtd_new = g_new.dot(d).item()
        iteration += 1
        new = (t, f_new, g_new.clone(), gtd_new)
        if f_new > (f + c1 * t * gtd) or f_new >= bracket[low_at][1]:
            bracket[high_at] = new
            low_at, high_at = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(gtd_new) <= -c2 * gtd:
                done = True
            elif gtd_new * (bracket[high_at][0] - bracket[low_at][0]) >= 0:
                bracket[high_at] = bracket[low_at]
            bracket[low_at] = new
    t, f_new, g_new, _ = bracket[low_at if len(bracket) > 1 else 0]
    return f_new, g_new, t, evaluations


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last ``history_size`` changes of the gradient. One group; ``step`` needs a closure.

    Whether to go on is decided on values, so every evaluation runs at once.
    """

    def __init__(self, params, lr: float | Tensor = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= number(lr):
            raise ValueError(f"Invalid learning rate: {lr}")
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._params = self.param_groups[0]["params"]

    @staticmethod
    def _real(t: Tensor) -> Tensor:
        return diya.view_as_real(t) if t.is_complex() else t

    def _gather_flat_grad(self) -> Tensor:
        return diya.cat([self._real(diya.zeros_like(p) if p.grad is None else p.grad).reshape(-1)
                         for p in self._params])

    def _add_grad(self, step_size: float, direction: Tensor) -> None:
        at = 0
        for p in self._params:
            p = self._real(p)
            n = p.numel()
            p.add_(direction[at:at + n].view(p.shape), alpha=step_size)
            at += n

    def _clone_param(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._params]

    def _set_param(self, values: list[Tensor]) -> None:
        for p, value in zip(self._params, values, strict=True):
            p.copy_(value)

    def _directional_evaluate(self, closure, x: list[Tensor], t: float, d: Tensor) -> tuple[float, Tensor]:
        self._add_grad(t, d)
        loss = float(closure())
        grad = self._gather_flat_grad()
        self._set_param(x)
        return loss, grad

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Up to ``max_iter`` iterations. ``closure`` clears the gradients, computes the loss and its gradients, and
        returns the loss; so does this, for the parameters at the start."""
        with diya.no_grad():
            return self._step(closure)

    def _step(self, closure: Callable[[], Any]) -> Any:
        def evaluate() -> Any:
            with diya.enable_grad():
                return closure()

        group = self.param_groups[0]
        lr = number(group["lr"])
        tolerance_grad, tolerance_change = group["tolerance_grad"], group["tolerance_change"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        orig_loss = evaluate()
        loss = float(orig_loss)
        evaluations = 1
        state["func_evals"] += 1
        flat_grad = self._gather_flat_grad()
        if flat_grad.abs().max().item() <= tolerance_grad:
            return orig_loss

        d, t = state.get("d"), state.get("t")
        old_dirs, old_stps, ro = state.get("old_dirs"), state.get("old_stps"), state.get("ro")
        h_diag, prev_flat_grad, prev_loss = state.get("H_diag"), state.get("prev_flat_grad"), state.get("prev_loss")
        iterations = 0
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d = flat_grad.neg()
                old_dirs, old_stps, ro, h_diag = [], [], [], 1
            else:
                y = flat_grad.sub(prev_flat_grad)
                s = d.mul(t)
                ys = y.dot(s)
                if ys.item() > 1e-10:
                    if len(old_dirs) == group["history_size"]:
                        old_dirs.pop(0)
                        old_stps.pop(0)
                        ro.pop(0)
                    old_dirs.append(y)
                    old_stps.append(s)
                    ro.append(1.0 / ys)
                    h_diag = ys / y.dot(y)
                d = self._direction(flat_grad, old_dirs, old_stps, ro, h_diag)
            if prev_flat_grad is None:
                prev_flat_grad = flat_grad.clone()
            else:
                prev_flat_grad.copy_(flat_grad)
            prev_loss = loss

            t = min(1.0, 1.0 / flat_grad.abs().sum().item()) * lr if state["n_iter"] == 1 else lr
            gtd = flat_grad.dot(d).item()
            if gtd > -tolerance_change:
                break
            inner = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                x = self._clone_param()
                direction = d
                loss, flat_grad, t, inner = _strong_wolfe(
                    lambda t, x=x, direction=direction: self._directional_evaluate(evaluate, x, t, direction),
                    t, d, loss, flat_grad, gtd)
                self._add_grad(t, d)
                converged = flat_grad.abs().max().item() <= tolerance_grad
            else:
                self._add_grad(t, d)
                converged = False
                if iterations != group["max_iter"]:
                    loss = float(evaluate())
                    flat_grad = self._gather_flat_grad()
                    converged = flat_grad.abs().max().item() <= tolerance_grad
                    inner = 1
            evaluations += inner
            state["func_evals"] += inner
            if (iterations == group["max_iter"] or evaluations >= group["max_eval"] or converged
                    or d.mul(t).abs().max().item() <= tolerance_change or abs(loss - prev_loss) < tolerance_change):
                break
        state.update(d=d, t=t, old_dirs=old_dirs, old_stps=old_stps, ro=ro, H_diag=h_diag,
                     prev_flat_grad=prev_flat_grad, prev_loss=prev_loss)
        return orig_loss

    @staticmethod
    def _direction(grad: Tensor, old_dirs: list[Tensor], old_stps: list[Tensor], ro: list, h_diag) -> Tensor:
        """-H·g by the two-loop recursion."""
        q = grad.neg()
        al: list = [None] * len(old_dirs)
        for i in range(len(old_dirs) - 1, -1, -1):
            al[i] = old_stps[i].dot(q) * ro[i]
            q = q - al[i] * old_dirs[i]
        d = q * h_diag
        for i in range(len(old_dirs)):
            d = d + old_stps[i] * (al[i] - old_dirs[i].dot(d) * ro[i])
        return d
