"""The commonest mistakes: PyTorch's class, and a message that says what was expected, what came, and how to mend it."""

import pytest

import diya as torch

F, nn = torch.nn.functional, torch.nn


def x():
    return torch.ones(2, 3)


def w():
    return torch.ones(4, 5)


def leaf():
    return torch.ones(2, 3, requires_grad=True)


def twice():
    y = (leaf() ** 2).sum()
    y.backward()
    y.backward()


def written_over():
    a = leaf() * 1
    b = a * a
    a.add_(1)
    b.sum().backward()


MISTAKES = [  # (name, call, class, what the message holds)
    ("matmul", lambda: x() @ w(), RuntimeError, ("(2x3 and 4x5)", "[2, 3]", "[4, 5]")),
    ("matmul of dtypes", lambda: x() @ torch.ones(3, 2, dtype=torch.float64), RuntimeError,
     ("same dtype", "Float", "Double", ".to(")),
    ("mm of a vector", lambda: torch.mm(x(), torch.ones(3)), RuntimeError, ("mat2 must be a matrix",)),
    ("add", lambda: x() + torch.ones(2, 4), RuntimeError, ("size of tensor a (3)", "tensor b (4)", "[2, 3], [2, 4]")),
    ("linear", lambda: nn.Linear(4, 2)(x()), RuntimeError, ("cannot be multiplied", "last dimension is 4", "[2, 3]")),
    ("channels", lambda: F.conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 2, 3, 3)), RuntimeError, ("2 channels", "3 channels")),
    ("kernel", lambda: F.conv2d(torch.ones(1, 3, 2, 2), torch.ones(4, 3, 3, 3)), RuntimeError, ("2 x 2", "3 x 3")),
    ("view", lambda: x().view(4, 2), RuntimeError, ("'[4, 2]'", "size 6")),
    ("view of a transpose", lambda: x().t().view(6), RuntimeError, ("reshape", "stride [1, 3]")),
    ("cat", lambda: torch.cat([x(), w()]), RuntimeError, ("Expected size 3 but got size 5", "[2, 3]", "[4, 5]")),
    ("stack", lambda: torch.stack([x(), w()]), RuntimeError, ("[2, 3] at entry 0", "[4, 5] at entry 1")),
    ("index", lambda: x()[5], IndexError, ("index 5", "dimension 0", "size 2")),
    ("index in data", lambda: x()[torch.tensor([0, 5])], IndexError, ("index 5", "size 2")),
    ("indices", lambda: x()[0, 0, 0], IndexError, ("too many indices", "dimension 2")),
    ("mask", lambda: x()[torch.ones(3, dtype=torch.bool)], IndexError, ("mask [3]", "[2, 3]")),
    ("dim", lambda: x().sum(3), IndexError, ("[-2, 1]", "got 3")),
    ("item", lambda: x().item(), RuntimeError, ("6 elements",)),
    ("truth", lambda: bool(x()), RuntimeError, ("ambiguous", ".any()")),
    ("backward of many", lambda: (leaf() * 2).backward(), RuntimeError, ("scalar outputs", "[2, 3]")),
    ("backward of a constant", lambda: x().sum().backward(), RuntimeError, ("does not require grad",)),
    ("backward twice", twice, RuntimeError, ("second time", "retain_graph=True")),
    ("a leaf in place", lambda: leaf().add_(1), RuntimeError, ("leaf Variable", "in-place")),
    ("written over", written_over, RuntimeError, ("modified by an inplace operation", "[2, 3]", "version 1")),
    ("numpy", lambda: leaf().numpy(), RuntimeError, ("detach()",)),
    ("gradient of integers", lambda: torch.ones(2, dtype=torch.int64, requires_grad=True), RuntimeError,
     ("floating point", "int64")),
    ("mean of integers", lambda: torch.ones(2, dtype=torch.int64).mean(), RuntimeError, ("floating point", "Long")),
    ("class", lambda: F.cross_entropy(x(), torch.tensor([0, 7])), IndexError, ("Target 7", "3 classes")),
    ("classes as floats", lambda: F.cross_entropy(x(), torch.tensor([0.0, 1.0])), RuntimeError, ("Long", "Float")),
    ("batch", lambda: F.cross_entropy(x(), torch.tensor([0, 1, 2])), ValueError, ("(2)", "(3)")),
    ("word", lambda: F.embedding(torch.tensor([9]), w()), IndexError, ("9", "4 rows")),
    ("expand", lambda: x().expand(2, 4), RuntimeError, ("(4)", "(3)", "[2, 4]", "[2, 3]")),
    ("split", lambda: x().split([1, 2]), RuntimeError, ("sum exactly to 2", "[1, 2]")),
    ("ragged", lambda: torch.tensor([[1, 2], [3]]), ValueError, ("length 2 at dim 1", "got 1")),
    ("a string", lambda: torch.tensor("a"), TypeError, ("'str'",)),
    ("no tensor", lambda: torch.relu("x"), TypeError, ("relu()", "'input' (position 1)", "must be Tensor", "str")),
    ("no tensor in a list", lambda: torch.cat([x(), 3]), TypeError, ("Tensor", "int")),
    ("keyword", lambda: x().sum(dims=1), TypeError, ("'dims'", "sum(input, dim=None, keepdim=False")),
    ("powers", lambda: torch.ones(2, dtype=torch.int64) ** -1, RuntimeError, ("negative integer powers",)),
    ("in place too wide", lambda: torch.ones(3).add_(x()), RuntimeError, ("[3]", "[2, 3]")),
    ("in place of another type", lambda: torch.ones(2, dtype=torch.int64).div_(2), RuntimeError, ("Float", "Long")),
    ("normalized shape", lambda: F.layer_norm(x(), (4,)), RuntimeError, ("[4]", "[*, 4]", "[2, 3]")),
    ("singular", lambda: torch.inverse(torch.zeros(2, 2)).tolist(), RuntimeError, ("singular", "test_messages.py")),
    ("another device", lambda: torch.ones(2, device="cuda"), NotImplementedError, ("'cuda'", "'cpu'")),
]


@pytest.mark.parametrize(("call", "kind", "parts"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_message(call, kind, parts):
    with pytest.raises(kind) as raised:
        call()
    for part in parts:
        assert part in str(raised.value), f"{part!r} is not in: {raised.value}"
