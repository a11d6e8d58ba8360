"""`torch.utils.benchmark` times the work of statements, not their recording."""

import pytest

import diya as torch
import diya.utils.benchmark as benchmark
from diya.counters import counters


def test_the_work_of_a_statement_is_run():
    x = torch.randn(100, 64)
    x.sum().item()
    before = counters.flushes
    m = benchmark.Timer("x.mul(x).sum(-1)", globals={"x": x}).timeit(40)
    assert counters.flushes - before >= 40
    assert m.number_per_run == 40 and len(m.times) == 1 and 0 < m.median == m.mean and m.iqr == 0
    assert "1 measurement, 40 runs , 1 thread" in repr(m) and "x.mul(x).sum(-1)" in repr(m)


def test_setup_globals_threads_and_statements_of_several_lines():
    seen = []
    timer = benchmark.Timer("""
        for i in range(2):
            seen.append((i, y, threads()))
    """, setup="y = 3", globals={"seen": seen, "threads": torch.get_num_threads}, num_threads=1, label="a", sub_label="b")
    assert timer.timeit(3).title == "a: b"
    assert seen[:2] == [(0, 3, 1), (1, 3, 1)]


def test_measurements_until_time_has_passed():
    m = benchmark.Timer("sum(range(50))").blocked_autorange(min_run_time=0.01)
    assert len(m.raw_times) > 1 and sum(m.raw_times) >= 0.01 and m.iqr >= 0
    calls = []
    m = benchmark.Timer("pass").adaptive_autorange(min_run_time=0.001, max_run_time=0.2, callback=lambda n, t: calls.append(n))
    assert len(m.raw_times) == len(calls)


def test_a_table(capsys):
    specs = [benchmark.TaskSpec("s", label="Sums", sub_label=f"row {r}", description=c) for r in (1, 2) for c in ("ours", "theirs")]
    results = [benchmark.Measurement(10, [(k + 1) * 1e-5, (k + 1) * 1e-5], s) for k, s in enumerate(specs)]
    table = benchmark.Compare(results)
    table.print()
    shown = capsys.readouterr().out
    assert "Sums" in shown and "row 2" in shown and "Times are in microseconds (us)." in shown and "4.0" in shown
    table.trim_significant_figures()
    table.colorize()
    assert "\033[92m" in str(table)
    assert len(benchmark.Measurement.merge(results + results)) == 4
    assert benchmark.select_unit(2e-5) == ("us", 1e-6) and benchmark.trim_sigfig(123.4, 2) == 120.0


def test_what_is_not_supported_says_so():
    with pytest.raises(NotImplementedError, match="C\\+\\+"):
        benchmark.Timer("x", language="cpp")
    with pytest.raises(NotImplementedError, match="callgrind"):
        benchmark.Timer("x").collect_callgrind()
    with pytest.raises(ValueError, match="global_setup"):
        benchmark.Timer("x", global_setup="y")


def test_the_environment():
    from diya.utils import collect_env
    assert "numpy" in collect_env.get_pretty_env_info() and torch.__version__
