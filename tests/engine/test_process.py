"""Processes and threads: fork, concurrent use, interrupts, want of memory, thread counts, growth."""

import os
import subprocess
import sys
import textwrap
import threading

import pytest

import diya
from diya import engine

compiled = pytest.mark.skipif(engine.compiler() is None, reason="needs llvmlite")


def run(program: str, **env) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env={**os.environ, **env}, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_compiling_and_while_compiling():
    out = run("""
        import os, diya
        from diya import engine
        x = diya.randn(300, 300)
        def work(): return float((x @ x).exp().sum())
        a = [work() for _ in range(3)]
        y = (x.sin() * x.cos()).sum(); engine.flush()      # starts a compile in the background
        pid = os.fork()
        if pid == 0:
            ok = work() == a[-1] and abs(float((x.sin() * x.cos()).sum()) - float(y)) < 1e-2
            os._exit(0 if ok else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), work() == a[-1])
        """)
    assert out.split() == ["0", "True"]


def test_threads_that_use_tensors_at_once():
    failures = []

    def work(seed):
        try:
            x = diya.full((50,), float(seed))
            for i in range(60):
                y = (x * i + 1).sum()
                assert y.item() == 50 * (seed * i + 1)
                x2 = x.clone()
                x2[3:5] = i
                assert x2.sum().item() == 48 * seed + 2 * i
                w = diya.ones(3).requires_grad_()
                (w * seed).sum().backward()
                assert w.grad.tolist() == [seed] * 3
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures


@compiled
def test_results_do_not_depend_on_the_thread_count():
    program = """
        import diya, hashlib
        from diya import engine
        diya.set_num_threads({n})
        diya.manual_seed(0)
        x = diya.randn(700, 513)
        with engine.Tier(1):
            values = [x.sum(), x.sum(0), x.sum(1), x.exp().mean(), x @ x.t(), (x * x).amax(1), x.t() @ x]
            print(hashlib.sha256(b"".join(v._to_array().tobytes() for v in values)).hexdigest())
        """
    assert len({run(program.format(n=n)) for n in (1, 2, 3)}) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_keyboard_interrupt_leaves_the_process_usable():
    out = run("""
        import diya, os, signal, threading
        from diya import engine
        x = diya.randn(400, 400)
        caught = 0
        for k in range(5):
            threading.Timer(0.02 + 0.01 * k, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                while True:
                    y = x
                    for _ in range(10): y = (y @ x).tanh()
                    y.sum().item()
            except KeyboardInterrupt:
                caught += 1
        print(caught, (diya.ones(3) + 1).tolist())
        """)
    assert out.strip() == "5 [2.0, 2.0, 2.0]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_want_of_memory_leaves_the_process_usable():
    out = run("""
        import resource, diya
        from diya import engine
        a = diya.ones(1000)
        (a + 1).sum().item()
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        for tier in (0, 1):
            with engine.Tier(tier):
                big = diya.ones(600_000_000) * 2.5
                other = a * 3
                try:
                    engine.observe(big._value())
                    print("no error")
                except MemoryError as error:
                    print("MemoryError")
                print(other.sum().item())
                del big
        """)
    assert out.split() == ["MemoryError", "3000.0", "MemoryError", "3000.0"]


def test_a_long_training_loop_does_not_grow_the_process():
    steps = 10_000 if os.environ.get("DIYA_LONG_TESTS") else 800
    out = run(f"""
        import diya, random
        from diya import engine
        def rss():
            import resource
            with open("/proc/self/statm") as f: return int(f.read().split()[1]) * resource.getpagesize()
        diya.manual_seed(0); random.seed(0)
        w = [diya.randn(16, 32).requires_grad_(), diya.randn(32, 4).requires_grad_()]
        def step():
            x = diya.randn(random.randrange(1, 33), 16)
            loss = ((x @ w[0]).clamp(min=0) @ w[1]).pow(2).mean()
            loss.backward()
            with diya.no_grad():
                for p in w:
                    p -= 0.001 * p.grad; p.grad = None
            engine.flush()
        for _ in range({steps} // 2): step()
        middle = rss()
        for _ in range({steps} // 2): step()
        print(rss() - middle)
        """ if sys.platform.startswith("linux") else "print(0)")
    assert int(out) < 8 << 20


def test_everything_works_without_llvmlite():
    out = run("""
        import sys
        sys.modules["llvmlite"] = None      # as if it were not installed
        import diya
        from diya import engine
        x = diya.randn(5, 5).requires_grad_()
        for _ in range(3):
            x.grad = None
            ((x @ x).tanh().sum() * 2).backward()
            engine.flush()
        print(engine.compiler(), x.grad.shape, diya.counters.programs_compiled)
        """)
    assert out.strip() == "None torch.Size([5, 5]) 0"


def test_import_brings_in_neither_llvmlite_nor_anything_heavy():
    heavy = ("llvmlite", "torch", "multiprocessing", "asyncio", "zipfile")
    out = run(f"import sys, diya; print([m for m in {heavy} if m in sys.modules])")
    assert out.strip() == "[]"


