"""What is known of the host: targets, cgroup limits, cores, caches."""

from __future__ import annotations

import os

import pytest

from diya.runtime.cpu import features


@pytest.mark.compiled
def test_host(tmp_path, monkeypatch):
    pytest.importorskip("llvmlite")
    monkeypatch.setenv("DIYA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("DIYA_VECTOR_BYTES", raising=False)
    asked = features.host.__wrapped__()
    remembered = features.host.__wrapped__()
    assert asked == remembered and asked.vector_bytes in (16, 32, 64) and asked.arch in ("x86_64", "aarch64")
    assert hash(asked) == hash(remembered)


def test_narrowed():
    everything = "+sse2,+avx,+avx2,+fma,+avx512f,+avx512vl,+bmi"
    wide = features.Target("x86_64-unknown-linux-gnu", "x", everything, 64, "x86_64")
    assert wide.narrowed(64) is wide
    half = wide.narrowed(32)
    assert half.features == "+sse2,+avx,+avx2,+fma,+bmi,-avx512f" and half.vector_bytes == 32
    assert wide.narrowed(16).features == "+sse2,+bmi,-avx512f,-avx"
    with pytest.raises(ValueError, match="must be 16, 32 or 64, got 8"):
        wide.narrowed(8)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_quota_of_cgroup_v2_and_its_parents(tmp_path):
    write(tmp_path / "self", "0::/a/b\n")
    root = tmp_path / "cgroup"
    write(root / "a/b/cpu.max", "max 100000\n")
    assert features.cpu_quota(str(root), str(tmp_path / "self")) is None
    write(root / "a/cpu.max", "150000 100000\n")
    assert features.cpu_quota(str(root), str(tmp_path / "self")) == 1.5
    write(root / "a/b/cpu.max", "50000 100000\n")
    write(root / "a/b/memory.max", "12345\n")
    assert features.cpu_quota(str(root), str(tmp_path / "self")) == 0.5
    assert features.memory_limit(str(root), str(tmp_path / "self")) == 12345


def test_quota_of_cgroup_v1(tmp_path):
    write(tmp_path / "self", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n")
    root = tmp_path / "cgroup"
    # inside a container the path may be the host's: the root is ours
    write(root / "cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(root / "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert features.cpu_quota(str(root), str(tmp_path / "self")) is None
    write(root / "cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
    write(root / "memory/memory.limit_in_bytes", "777\n")
    assert features.cpu_quota(str(root), str(tmp_path / "self")) == 3.0
    assert features.memory_limit(str(root), str(tmp_path / "self")) == 777


def test_no_cgroup(tmp_path):
    assert features.cpu_quota(str(tmp_path), str(tmp_path / "missing")) is None
    assert features.memory_limit(str(tmp_path), str(tmp_path / "missing")) > 1 << 28


def test_cores_and_caches(monkeypatch):
    assert 1 <= features.cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(features, "cpu_quota", lambda: 0.3)
    assert features.cores() == 1
    l1, l2, l3 = features.caches()
    assert 8 << 10 <= l1 <= l2 <= l3
