"""Convolutions through the whole line: compiled against interpreted, with gradients and gradients of those."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import diya
from diya import engine
from diya.compiler import depthwise
from diya.compiler.operands import dense
from diya.compiler.split import parts_of, split_sums
from diya.graph import PRIMITIVES, Affine, Contraction, Graph, Instruction, type_of


@pytest.mark.parametrize("stride,padding,dilation,groups,kernel", [
    (1, 1, 1, 1, 3), (2, 1, 1, 1, 3), (2, 0, 1, 1, 1), (3, 1, 1, 1, 2), (2, 2, 2, 1, 3), (1, 1, 1, 4, 3),
    (2, 1, 1, 4, 3), (2, 3, 1, 1, 7), (2, 1, 2, 1, 4)])
@pytest.mark.parametrize("width", [13, 41])
def test_compiled_as_interpreted(stride, padding, dilation, groups, kernel, width):
    def gradients(tier):
        rng = np.random.default_rng(0)
        with engine.Tier(tier):
            x = diya.tensor(rng.standard_normal((2, 4, 9, width)).astype("f"), requires_grad=True)
            w = diya.tensor(rng.standard_normal((8, 4 // groups, kernel, kernel)).astype("f"), requires_grad=True)
            y = diya.nn.functional.conv2d(x * 2, w, None, stride, padding, dilation, groups)
            g, = diya.autograd.grad((y.tanh() * y).sum(), x, create_graph=True)
            (g * g).sum().backward()
            return [t.detach().numpy() for t in (y, g, x.grad, w.grad)]

    for want, got in zip(gradients(0), gradients(1), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_saves_no_zeros(groups):
    """Its gradients are those of a strided convolution: of the input's size, not of the input spread out."""
    def gradients(tier):
        rng = np.random.default_rng(0)
        with engine.Tier(tier):
            x = diya.tensor(rng.standard_normal((2, 4, 5, 6)).astype("f"), requires_grad=True)
            w = diya.tensor(rng.standard_normal((4, 3, 4, 4)).astype("f"), requires_grad=True)
            y = diya.nn.functional.conv_transpose2d(x * 2, w, None, 3, 1, 1, groups)
            g, h = diya.autograd.grad((y.tanh() * y).sum(), (x, w), create_graph=True)
            (g * g).sum().backward(retain_graph=True)
            (h * h).sum().backward()
            return [t.detach().numpy() for t in (y, g, h, x.grad, w.grad)]

    for want, got in zip(gradients(0), gradients(1), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
    x, w = diya.ones(2, 4, 5, 6, requires_grad=True), diya.ones(4, 3, 4, 4, requires_grad=True)
    y = diya.nn.functional.conv_transpose2d(x * 2, w, None, 3, 1, 1, groups)
    node = y.grad_fn if groups == 1 else y.grad_fn.next_functions[0][0]
    assert max(saved.type.numel for _, saved in node.saved) <= x.numel()


def test_long_sums_are_cut_in_parts():
    """A weight's gradient of few elements over a large batch: parts that follow from the shapes, summed in order."""
    def v(*terms):
        return Affine(tuple((t, 1) for t in terms))

    f32 = diya.float32
    c = Contraction((6, 3, 3, 24, 60, 60), 3, (v(3), v(0), v(4), v(5)), (v(3), v(1, 4), v(2, 5)))
    types = type_of((24, 6, 60, 60), f32), type_of((24, 62, 62), f32)
    node = Instruction(PRIMITIVES["contract"], (0, 1), c, type_of((6, 3, 3), f32))
    leaves = [Instruction(PRIMITIVES["leaf"], (), t, t) for t in types]
    assert parts_of(node) == (4, 6)
    cut = split_sums(Graph((*leaves, node), (2,), (0,))).verify()
    assert [n.op.name for n in cut.code] == ["leaf", "leaf", "contract", "sum"]
    assert cut.code[2].type.shape == (6, 6, 3, 3) and cut.outputs == (3,) and cut.donated == (0,)
    assert parts_of(node._replace(attrs=c._replace(sizes=(6, 3, 3, 7, 60, 60)))) == (4, 6), "for any batch"
    assert parts_of(node._replace(attrs=c._replace(sizes=(6, 3, 3, 24, 5, 6)))) is None

    row = Contraction((1, 768, 900), 2, (v(0), v(2)), (v(2), v(1)))
    node = node._replace(attrs=row, type=type_of((1, 768), f32))
    assert parts_of(node) == (2, 2) and parts_of(node, dense=False) is None, "a row times a matrix"
    assert parts_of(node._replace(attrs=row._replace(sizes=(1, 768, 90)))) is None, "a small one"

    def gradient(tier):
        rng = np.random.default_rng(0)
        with engine.Tier(tier):
            x, g = (diya.tensor(rng.standard_normal(s).astype("f")) for s in ((24, 1, 62, 62), (24, 6, 60, 60)))
            w = diya.zeros(6, 1, 3, 3, requires_grad=True)
            (diya.nn.functional.conv2d(x, w) * g).sum().backward()
            return w.grad.numpy()

    np.testing.assert_allclose(gradient(1), gradient(0), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("stride,padding,dilation,kernel", [
    (1, 1, 1, (3, 3)), (2, 1, 1, (3, 3)), (1, 3, 1, (7, 7)), (1, 0, 1, (3, 3)), (3, 1, 1, (3, 3)), (1, 2, 2, (3, 3)),
    (2, (1, 0), 1, (3, 1))])
@pytest.mark.parametrize("shape,multiplier", [((2, 3, 9, 13), 1), ((1, 4, 20, 40), 2), ((3, 2, 7, 7), 1)])
def test_depthwise(stride, padding, dilation, kernel, shape, multiplier):
    channels = shape[1]

    def gradients(tier, dtype):
        rng = np.random.default_rng(0)

        def array(*shape):
            return diya.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)
        with engine.Tier(tier):
            x, w, b = array(*shape), array(channels * multiplier, 1, *kernel), array(channels * multiplier)
            y = diya.nn.functional.conv2d(x, w, b, stride, padding, dilation, channels).relu()
            (y * array(*y.shape)).sum().backward()
            return [t.detach().numpy() for t in (y, x.grad, w.grad, b.grad)]

    for dtype, eps in (("f", 3e-6), ("d", 1e-14)):
        for want, got in zip(gradients(0, dtype), gradients(1, dtype), strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=eps * max(1, np.abs(want).max()))


def test_depthwise_compiles_nothing_for_another_batch():
    keys = set()
    for batch in (2, 3, 64):
        c = Contraction((batch, 8, 1, 20, 20, 1, 3, 3), 5, (
            Affine(((0, 1),)), Affine(((1, 1),)), Affine(((5, 1),)), Affine(((3, 1), (6, 1)), -1), Affine(((4, 1), (7, 1)), -1)),
            (Affine(((1, 1),)), Affine(((2, 1),)), Affine(((5, 1),)), Affine(((6, 1),)), Affine(((7, 1),))))
        x, w, y = (dense(diya.float32, s) for s in ((batch, 8, 1, 20, 20), (8, 1, 1, 3, 3), (batch, 8, 1, 20, 20)))
        problem, swapped = depthwise.plan(c, x, w, y, None, 64)
        assert swapped and problem.numbers["M"] == 20 and problem.tasks == 8 * batch
        keys.add(problem.form.key)
    assert len(keys) == 1


@pytest.mark.parametrize(("stride", "dilation"), [(2, 2), (2, 4), (3, 3)])
def test_outputs_that_no_tap_reaches(stride, dilation):
    """A transposed convolution of one channel whose dilation is a multiple of its stride leaves elements untouched: zeros."""
    x, w = diya.randn(1, 1, 5), diya.randn(1, 1, 3)
    results = []
    for tier in (0, 1):
        with engine.Tier(tier):
            results.append(diya.nn.functional.conv_transpose1d(x, w, stride=stride, dilation=dilation, output_padding=1).numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-6)
