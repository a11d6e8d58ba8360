"""Every stage of the compiler, printed, for a few graphs, against golden files. ``pytest tests/stages --update-golden``
rewrites them: read the difference before you commit it."""

from pathlib import Path

import pytest

pytest.importorskip("llvmlite")
from compiler.graphs import Maker

from diya import dtypes
from diya.compiler import lower, pipeline, plan, schedule
from diya.graph import Affine, Contraction
from diya.runtime.cpu import features, load

GOLDEN = Path(__file__).parent / "golden"
f32 = dtypes.float32


def chain():
    """A broadcast, a chain, a cast and a permuted read: one kernel."""
    m = Maker()
    x, w = m.data((4, 6), f32), m.data((6,), f32)
    h = m("maximum", m("add", m("mul", x, w), m.scalar(1.0)), m.scalar(0.0))
    return m.graph(m("cast", m.view(h, (6, 4), (1, 6)), attrs=dtypes.float16))


def softmax():
    """Three passes over a row in one kernel."""
    m = Maker()
    return m.graph(m.softmax(m.data((8, 10), f32)))


def statistics():
    """A value that is stored and summed at once, two sums over one domain, and what follows them."""
    m = Maker()
    x = m.data((4, 3, 5, 5), f32)
    h = m("mul", x, m.scalar(2.0))
    s, q = m("sum", h, attrs=(0, 2, 3)), m("sum", m("square", h), attrs=(0, 2, 3))
    return m.graph(h, m("sub", q, m("square", s)))


def layer():
    """A convolution with bias and activation as its epilogue, pooled."""
    m = Maker()
    x, w, b = m.data((2, 3, 6, 6), f32), m.data((4, 3, 3, 3), f32), m.data((4,), f32)
    spec = Contraction((2, 4, 4, 4, 3, 3, 3), 4,
                       (Affine(((0, 1),)), Affine(((4, 1),)), Affine(((2, 1), (5, 1))), Affine(((3, 1), (6, 1)))),
                       (Affine(((1, 1),)), Affine(((4, 1),)), Affine(((5, 1),)), Affine(((6, 1),))))
    y = m("add", m("contract", x, w, attrs=spec), m.view(b, (1, 4, 1, 1), (4, 1, 1, 1)))
    y = m("maximum", y, m.scalar(0.0))
    return m.graph(m("amax", m.view(y, (2, 4, 2, 2, 2, 2), (64, 16, 8, 2, 4, 1)), attrs=(4, 5)))


def joined():
    """cat into an uninitialised buffer, in place; the result is used and changed once more."""
    m = Maker()
    a, b = m.data((2, 3), f32), m.data((2, 2), f32)
    whole = m("write", m("empty", attrs=((2, 5), f32)), a, attrs=((2, 3), (5, 1), 0))
    whole = m("write", whole, b, attrs=((2, 2), (5, 1), 3))
    return m.graph(m("neg", whole), m("write", whole, m("neg", a), attrs=((2, 3), (5, 1), 2)))


def positions():
    """Reads and writes at positions held in data."""
    m = Maker()
    table, ids, g = m.data((10, 4), f32), m.leaf([[1, 2, 3]]), m.data((1, 3, 4), f32)
    zeros = m.view(m.scalar(0.0), (10, 4), (0, 0))
    return m.graph(m("exp", m("index", table, ids)), m("index_put", zeros, g, ids, attrs=True))


GRAPHS = (chain, softmax, statistics, layer, joined, positions)


def stages(graph, target) -> dict[str, str]:
    planned = schedule.schedule(graph).verify()
    lowered = lower.lower(planned)
    launches = pipeline.launches_of(planned, target)
    memory = plan.plan(planned, launches)
    kernels = []
    for s, launch in enumerate(launches):
        names = ", ".join("fault" if v < 0 else f"%{v}" for v in launch.values)
        dropped = "  (dropped)" if s in memory.dropped else ""
        if launch.step.kind == "contract":  # a contraction: its tiles are tested with it
            kernels.append(f"run ({names}) {launch.key.split()[0]}")
        else:
            kernels.append(f"run ({names}) tasks {launch.tasks} args {list(launch.args)}{dropped}\n{launch.key}".rstrip())
    return {"graph": str(graph), "schedule": str(planned), "loops": "\n\n".join(map(str, lowered)),
            "kernels": "\n\n".join(kernels), "memory": str(memory)}


def compare(name: str, text: str, request) -> None:
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert path.exists(), f"no golden file {path.name}: run pytest tests/stages --update-golden"
    assert text == path.read_text(), f"{path.name} differs: if it should, run pytest tests/stages --update-golden"


@pytest.mark.parametrize("make", GRAPHS, ids=lambda f: f.__name__)
def test_stages(make, request):
    parts = stages(make(), features.X86_64_V3)
    text = "\n".join(f"== {name}\n{part}\n" for name, part in parts.items())
    compare(make.__name__, f"{make.__doc__}\n\n{text}", request)


def test_llvm(request):
    """The LLVM text of the smallest kernel; its shape is the emitter's contract with the loader."""
    m = Maker()
    graph = m.graph(m("add", m.data((3, 5), f32), m.data((5,), f32)))
    (launch,) = pipeline.launches_of(schedule.schedule(graph), features.X86_64_V3)
    compare("llvm", launch.text("kernel"), request)


@pytest.mark.parametrize("make", GRAPHS, ids=lambda f: f.__name__)
def test_aarch64(make):
    """Every kernel assembles for AArch64 and uses its vectors."""
    found = ""
    for launch in pipeline.launches_of(schedule.schedule(make()), features.AARCH64):
        if launch.key:
            found += load.assembly(launch.text("kernel"), features.AARCH64)
    assert "ret" in found and ".4s" in found


def test_verifiers_refuse():
    from diya.compiler.loops import Kernel, Map, Op, Phase
    load_ = Op("load", f32, (), (0, Map((1,))))
    with pytest.raises(AssertionError, match="not before it"):
        Kernel((4,), 1, (f32,), (Phase((Op("store", f32, (3,), (0, Map((1,)), "set")),)),)).verify()
    with pytest.raises(AssertionError, match="kept but varies"):
        Kernel((4,), 0, (f32,), (Phase((load_,)),)).verify()
    with pytest.raises(AssertionError, match="outside of a loop"):
        Kernel((4,), 1, (f32,), (Phase((load_, Op("reduce", f32, (0,), "sum"))),)).verify()
