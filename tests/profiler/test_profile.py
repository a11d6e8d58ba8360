"""``torch.profiler``: ranges, programs and kernels are there, nested, timed; and profiling changes no result."""

import gzip
import json
import time

import pytest

import diya as torch
from diya import engine, nn
from diya.autograd import profiler as old
from diya.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    tensorboard_trace_handler,
)

compiles = pytest.mark.skipif(engine.compiler() is None, reason="there are no kernels without llvmlite")


def training():
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(8, 4)

    def step():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def test_ranges_nest_and_hold_the_programs_that_run_in_them():
    x = torch.ones(5)
    with profile() as p, record_function("outer"):
        with record_function("inner"):
            y = x + 1
        assert y.tolist() == [2] * 5
    by_name = {e.name: e for e in p.events()}
    program = next(e for name, e in by_name.items() if name.startswith("program 1"))
    assert by_name["inner"].cpu_parent is by_name["outer"] is program.cpu_parent and program.cpu_parent.cpu_parent is None
    assert program.cpu_children and all(c.cpu_time_total > 0 for c in program.cpu_children)
    outer = by_name["outer"]
    assert 0 < outer.self_cpu_time_total < outer.cpu_time_total == outer.time_range.elapsed_us()
    assert p.key_averages().self_cpu_time_total == pytest.approx(outer.cpu_time_total)


def test_ranges_take_their_time():
    @record_function("sleeps")
    def sleep():
        time.sleep(0.01)
    with profile(activities=[ProfilerActivity.CPU]) as p:
        sleep()
        sleep()
    (found,) = p.key_averages()
    assert found.key == "sleeps" and found.count == 2 and found.cpu_time_total >= 20_000 and found.cpu_time >= 10_000


@compiles
def test_kernels_with_work_memory_shapes_and_lines():
    with engine.Tier(1), profile(record_shapes=True, with_flops=True, profile_memory=True, with_stack=True) as p:
        a = torch.randn(16, 32)
        b = (a @ a.T).relu()
        b.numpy()
    kernel = next(e for e in p.events() if e.name.startswith("contract"))
    assert kernel.input_shapes == "16×32·32×16" and kernel.flops == 2 * 16 * 32 * 16 + 16 * 16 and kernel.nbytes
    assert any("test_profile.py(" in line for line in kernel.stack)
    assert kernel.cpu_parent.name.endswith("compiled") and kernel.cpu_parent.cpu_memory_usage >= 16 * 16 * 4
    table = p.key_averages(group_by_input_shape=True).table(sort_by="self_cpu_time_total", row_limit=5)
    assert "Input Shapes" in table and "GFLOP/s" in table and "CPU Mem" in table and "16×32·32×16" in table
    assert not engine.debug_lines


def test_profiling_changes_no_result():
    plain, profiled = training(), training()
    with engine.Tier(0 if engine.compiler() is None else 1):
        expected = [plain() for _ in range(5)]
        with profile():
            assert [profiled() for _ in range(5)] == expected
        assert profiled() == plain()


def test_schedule_and_traces(tmp_path):
    assert [schedule(wait=1, warmup=1, active=2, repeat=1)(k) for k in range(5)] == [
        ProfilerAction.NONE, ProfilerAction.WARMUP, ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE, ProfilerAction.NONE]
    step, ready = training(), []

    def save(p):
        ready.append((p.step_num, [e.name for e in p.events() if e.key == "ProfilerStep*"]))
        tensorboard_trace_handler(str(tmp_path), "worker")(p)
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=save) as p:
        for _ in range(9):
            step()
            p.step()
    assert ready == [(4, ["ProfilerStep#2", "ProfilerStep#3"]), (8, ["ProfilerStep#6", "ProfilerStep#7"])]
    first = json.loads(sorted(tmp_path.glob("worker.*.pt.trace.json"))[0].read_text())
    assert {"name", "ts", "dur", "ph", "pid", "tid"} <= set(first["traceEvents"][0])
    assert any(e["cat"] == "program" for e in first["traceEvents"])


def test_files(tmp_path):
    with profile(with_stack=True) as p:
        torch.ones(50).add(1).exp().tolist()
    p.add_metadata("who", "me")
    p.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        assert json.load(file)["who"] == "me"
    p.export_stacks(str(tmp_path / "stacks"))


def test_the_older_face():
    with old.profile() as p:
        with old.record_function("work"):
            torch.ones(3).mul(2).sum().item()
    assert "work" in str(p) and p.total_average().count == len(p.function_events) and p.self_cpu_time_total > 0
    with pytest.raises(NotImplementedError, match="emit_nvtx"), old.emit_nvtx():
        pass
    with old.profile(enabled=False), old.emit_nvtx(enabled=False):
        pass


def test_wrong_use_is_refused():
    with pytest.raises(AssertionError, match="activities"):
        profile(activities=[])
    with pytest.raises(AssertionError, match="nothing was recorded"):
        profile().events()
    with pytest.raises(NotImplementedError, match="with_modules"):
        profile(with_modules=True)
    with profile() as p:
        with pytest.raises(RuntimeError, match="only one"):
            profile(with_stack=True).start()
        assert not engine.debug_lines
        with pytest.raises(RuntimeError, match="still recording"):
            p.events()
    with pytest.raises(AttributeError, match="nonsense"):
        old.EventList([old.FunctionEventAvg("x")] * 2).table(sort_by="nonsense")
    with pytest.warns(UserWarning, match="CPU"):
        profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])


def test_a_failing_block_leaves_no_profiler_behind():
    with pytest.raises(ZeroDivisionError), profile():
        1 / 0  # noqa: B018
    with profile() as p:
        torch.ones(2).tolist()
    assert p.events() is not None
