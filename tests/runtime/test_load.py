"""Loading of code: caches, damage, concurrency, and the linker of object files."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from diya.runtime.cpu import features, image, llvm, load, store, system  # noqa: E402
from runtime import kernels  # noqa: E402

pytestmark = pytest.mark.compiled


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIYA_CACHE_DIR", str(tmp_path))
    load.forget()
    yield
    load.forget()


def change(action):
    """How (compiled, disk hits, memory hits) change."""
    c = load.counters
    before = c.compiled, c.disk_hits, c.memory_hits
    action()
    return tuple(b - a for a, b in zip(before, (c.compiled, c.disk_hits, c.memory_hits), strict=True))


def run_add(amount=1.0):
    (entry,) = load.load([("add", kernels.add(amount))])
    x = np.zeros(64, np.float32)
    kernels.call(entry, x, args=(16,), end=2)
    assert (x[:32] == amount).all() and (x[32:] == 0).all()
    return entry


def test_memory_then_disk_then_compile(tmp_path):
    assert change(run_add) == (1, 0, 0)
    assert change(run_add) == (0, 0, 1)
    load.forget()
    assert change(run_add) == (0, 1, 0)
    assert change(lambda: load.load([("add", kernels.add(1.0))] * 3)) == (0, 0, 1)
    assert any(tmp_path.iterdir())


def test_a_warm_process_does_not_load_llvm(tmp_path):
    script = ("import sys; from runtime import kernels; from diya.runtime.cpu import load;"
              "load.load([(f'k{i}', kernels.add(i, f'k{i}')) for i in range(10)]);"
              "print(load.counters, 'llvmlite.binding' in sys.modules)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "tests"])}

    def run():
        done = subprocess.run([sys.executable, "-c", script], env=env, text=True, capture_output=True, check=True)
        assert not done.stderr
        return done.stdout
    assert run() == "Counters(compiled=10, disk_hits=0, memory_hits=0) True\n"
    assert run() == "Counters(compiled=0, disk_hits=10, memory_hits=0) False\n"


@pytest.mark.parametrize("damage", [lambda d: d[:len(d) // 2], lambda d: b"", lambda d: d[:-1] + bytes([d[-1] ^ 1]),
                                    lambda d: b"x" + d[1:], lambda d: d[:50] + bytes(len(d) - 50)])
def test_damaged_entries_are_made_again(tmp_path, damage):
    run_add()
    name = load.module_key(kernels.add(1.0), features.host()) + ".bin"
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(damage(whole))
    load.forget()
    assert change(run_add) == (1, 0, 0)
    assert (tmp_path / name).read_bytes() == whole


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIYA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert change(run_add) == (1, 0, 0)
    load.forget()
    assert change(run_add) == (1, 0, 0)


def test_the_directory_is_kept_below_a_size(tmp_path):
    names = [store.key("entry", str(i)) for i in range(20)]
    for i, name in enumerate(names):
        assert store.write(name, bytes(1000))
        os.utime(tmp_path / (name + ".bin"), (i, i))
    kept = store.trim(10_000)
    assert kept <= 10_000
    assert [store.read(n) is not None for n in names] == sorted(store.read(n) is not None for n in names)
    assert store.read(names[-1]) == bytes(1000)


def test_concurrent_writers_of_one_entry(tmp_path):
    name, payload = store.key("x"), os.urandom(100_000)
    threads = [threading.Thread(target=store.write, args=(name, payload)) for _ in range(8)]
    for t in threads:
        t.start()
    for _ in range(50):
        assert store.read(name) in (None, payload)
    for t in threads:
        t.join()
    assert store.read(name) == payload
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".tmp"]


def test_many_threads_compile_a_kernel_once():
    def work():
        entries.append(load.load([("add", kernels.add(3.0)), ("count", kernels.count())]))

    entries = []
    threads = [threading.Thread(target=work) for _ in range(6)]

    def run():
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    compiled, _, _ = change(run)
    assert compiled == 2 and len({tuple(map(int, e)) for e in entries}) == 1


def test_code_goes_when_nothing_uses_it(monkeypatch):
    freed = []

    def unmap(address, nbytes):
        freed.append(address)
        system.unmap(address, nbytes)
    monkeypatch.setattr(load.Code.__del__, "__defaults__", (unmap, lambda: False))
    entry = run_add(4.0)
    address = entry.code.address
    load.forget()
    gc.collect()
    assert address not in freed
    del entry
    gc.collect()
    assert address in freed


def test_memory_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(load, "MEMORY_LIMIT", 4 * system.PAGE)
    load.load([(f"k{i}", kernels.empty(f"k{i}")) for i in range(20)])
    gc.collect()
    assert len(load._all) <= 4 and load._recent_bytes <= 4 * system.PAGE


def test_bad_text_is_reported_with_its_lines():
    with pytest.raises(llvm.CompileError, match=r"(?s)expected instruction opcode.*frobnicate"):
        load.load([("f", "define void @f() {\n  frobnicate\n}")])
    with pytest.raises(llvm.CompileError, match="(?s)PHI"):
        load.load([("f", "define void @f() {\n  ret void\nb:\n  %x = phi i32 [0, %b]\n  ret void\n}")])
    with pytest.raises(KeyError, match="module defines empty, not full"):
        load.load([("full", kernels.empty())])


# The linker

SUM = """
@table = private constant [4 x double] [double 1.0, double 2.0, double 3.0, double 4.0]
define internal double @helper(i64 %i) noinline {
  %p = getelementptr double, ptr @table, i64 %i
  %v = load double, ptr %p
  ret double %v
}
declare ptr @memcpy(ptr, ptr, i64)
declare double @cbrt(double)
define double @sum(ptr %to, ptr %from, i64 %n, i64 %i) {
  %r = call ptr @memcpy(ptr %to, ptr %from, i64 %n)
  %a = call double @helper(i64 %i)
  %b = call double @cbrt(double %a)
  %c = fadd double %b, 0.1
  ret double %c
}
"""


def test_constants_helpers_and_c_functions():
    (entry,) = load.load([("sum", SUM)])
    call = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(entry)
    a, b = np.arange(100.0), np.zeros(100)
    assert call(b.ctypes.data, a.ctypes.data, 800, 3) == np.cbrt(4.0) + 0.1
    assert (a == b).all()


def test_images_survive_packing():
    made = image.link(llvm.object_code(SUM, features.host()))
    assert image.Image.unpack(made.pack()) == made
    assert {name for _, name in made.externals} == {"memcpy", "cbrt"} and "sum" in made.symbols


@pytest.mark.parametrize("target", [features.AARCH64, features.X86_64_V3, features.X86_64_V4], ids=lambda t: t.cpu)
def test_other_targets_emit_and_link(target):
    text = SUM + kernels.add(1.5) + kernels.faulty()
    assembly = load.assembly(text, target)
    assert "sum:" in assembly
    if target.arch == "aarch64":
        assert "fadd\tv" in assembly
    else:
        assert ("%zmm" in assembly) == (target.vector_bytes == 64) and "%ymm" in assembly or target.vector_bytes == 64
    made = image.link(llvm.object_code(text, target))
    assert {"sum", "add", "faulty"} <= made.symbols.keys()
    assert {name for _, name in made.externals} == {"memcpy", "cbrt"}


def test_aarch64_relocations_point_where_they_should():
    """Each adrp/add or adrp/ldr pair of the linked block leads to the table or the constant 0.1."""
    made = image.link(llvm.object_code(SUM, features.AARCH64))
    words = np.frombuffer(made.code[:len(made.code) // 4 * 4], np.uint32).tolist()
    found = set()
    for i, w in enumerate(words):
        if w & 0x9F000000 == 0x90000000:  # adrp
            page = (i * 4 & ~0xFFF) + ((w >> 29 & 3 | (w >> 5 & 0x7FFFF) << 2) << 12)
            for v in words[i + 1:i + 6]:
                if v & 0xFFC00000 == 0x91000000:  # add, 64 bits
                    found.add(page + (v >> 10 & 0xFFF))
                    break
                if v & 0xFFC00000 == 0xFD400000:  # ldr of a double
                    found.add(page + (v >> 10 & 0xFFF) * 8)
                    break
    table = made.code.index(np.arange(1.0, 5.0).tobytes())
    assert table in found
    assert not found or all(0 <= at < len(made.code) for at in found)


def test_writable_data_is_refused():
    with pytest.raises(NotImplementedError, match="writable data"):
        load.load([("f", "@g = global i64 1\ndefine ptr @f() { ret ptr @g }")])


def test_unknown_c_function_is_named():
    with pytest.raises(NotImplementedError, match="calls no_such_function_xyz"):
        load.load([("f", "declare void @no_such_function_xyz()\n"
                         "define void @f() {\n call void @no_such_function_xyz()\n ret void\n}")])
