"""In-place operators keep what their operands' gradients need: the values before the write."""

import pytest

import diya as torch

CASES = {
    "mul_": (lambda a, p: a.mul_(p), lambda a, p: a),
    "div_": (lambda a, p: a.div_(p), lambda a, p: -a / p ** 2),
    "pow_": (lambda a, p: a.pow_(p), lambda a, p: a ** p * a.log()),
    "addcmul_": (lambda a, p: a.addcmul_(p, p), lambda a, p: 2 * p),
    "*=": (lambda a, p: a.__imul__(p), lambda a, p: a),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operand_that_needs_a_gradient(name):
    write, expected = CASES[name]
    a, p = torch.tensor([2.0, 3.0, 4.0]), torch.tensor([2.0, 0.5, 3.0], requires_grad=True)
    before = a.clone()
    write(a, p).sum().backward()
    torch.testing.assert_close(p.grad, expected(before, p.detach()))


def test_a_bias_that_changes_before_backward():
    linear = torch.nn.Linear(3, 4)
    out = linear(torch.ones(2, 3))
    with torch.no_grad():
        linear.bias.add_(1)
    out.sum().backward()
    assert linear.bias.grad.tolist() == [2.0] * 4
