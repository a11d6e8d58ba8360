"""Random functions, captured: they give, write and differentiate what they do as they are written. ``DIYA_FUZZ`` as there."""

import os
import random

import pytest

import diya
from diya.capture import Compiled

from .programs import Machine, agree, generate, show

MANY = int(os.environ.get("DIYA_FUZZ", "0"))
APART = {"observe", "item", "flush", "drop", "numpy_write", "create"}  # what is not for the inside of a captured function


def segment(tensors, steps):
    """Copies of all that some steps make."""
    machine = Machine(diya)
    machine.tensors = dict(tensors)
    made = []
    for step in steps:
        machine.run(step)
        if step.out is not None:
            made.append(machine.tensors[step.out].clone())
    return made


class Case:
    """The tensors that a program's beginning makes, and then one function applied to them again and again."""

    def __init__(self, before, inside, function, gradients, chosen):
        self.machine, self.leaves = Machine(diya), []
        self.inside, self.function, self.gradients, self.chosen = inside, function, gradients, chosen
        for step in before:
            self.machine.run(step)
            if gradients and step.op == "create":
                self.leaves.append(self.machine.tensors[step.out].requires_grad_())
                self.machine.tensors[step.out] = self.leaves[-1] * 1

    def step(self):
        """What the function returns, and gradients (which may lie otherwise); or the class of what it raises."""
        try:
            out = self.function(self.machine.tensors, self.inside)
            chosen = [t for t in out if t.requires_grad][:self.chosen]
            if chosen:
                out = out + [diya.zeros(()) if g is None else g.contiguous() for g in diya.autograd.grad(
                    sum((t * t).sum() for t in chosen), self.leaves, allow_unused=True, retain_graph=True)]
            return out
        except RuntimeError as error:
            return type(error)

    def state(self):
        return [t for _, t in sorted(self.machine.tensors.items())]


def check(seed, gradients):
    choose = random.Random(seed).randrange
    steps = generate(choose, 8 + seed % 20, numpy_writes=False, only="float64" if gradients else None)
    cut = choose(len(steps) + 1)
    before = [s for s in steps[:cut] if s.op not in APART - {"create"}] + [s for s in steps[cut:] if s.op == "create"]
    inside = [s for s in steps[cut:] if s.op not in APART]
    compiled = Compiled(segment)
    plain = Case(before, inside, segment, gradients, 1 + seed % 3)
    captured = Case(before, inside, lambda *args: compiled(args, {}), gradients, 1 + seed % 3)
    told = f"\n{show(before)}\n  --\n{show(inside)}"
    for _ in range(3):
        want, got = plain.step(), captured.step()
        if isinstance(want, type):
            assert got is want, told
            break
        for a, b in zip([*want, *plain.state()], [*got, *captured.state()], strict=True):
            assert (a.dtype, a.stride(), a.requires_grad, a._version) == (b.dtype, b.stride(), b.requires_grad, b._version), told
            assert agree(a.detach()._to_array(), b.detach()._to_array()), told
    return len(compiled.regions)


@pytest.mark.parametrize("gradients", [False, True])
def test_seeded_functions(gradients):
    seeds = range(MANY or 60)
    assert sum(check(seed, gradients) for seed in seeds) > len(seeds) // 5
