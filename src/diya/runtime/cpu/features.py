"""What the host is: instruction set, vector width, cores that may be used, cache sizes, memory.

LLVM is asked once for the name and features of a processor; the answer is kept on disk, so that a process that finds
all of its code in the cache never loads LLVM.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import NamedTuple


class Target(NamedTuple):
    """A processor to compile for. ``vector_bytes`` is the width of the vectors that kernels are written in."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    arch: str

    def narrowed(self, vector_bytes: int) -> Target:
        """The same processor without the instructions of vectors wider than ``vector_bytes`` (16, 32 or 64)."""
        if vector_bytes not in (16, 32, 64):
            raise ValueError(f"vector_bytes must be 16, 32 or 64, got {vector_bytes}")
        if vector_bytes >= self.vector_bytes:
            return self
        gone = _WIDE[64] if vector_bytes == 32 else _WIDE[64] + _WIDE[32]
        kept = [f for f in self.features.split(",") if not f[1:].startswith(gone)]
        off = ["-avx512f"] if vector_bytes == 32 else ["-avx512f", "-avx"]
        return self._replace(features=",".join(kept + off), vector_bytes=vector_bytes)


_WIDE = {64: ("avx512", "avx10", "evex512"), 32: ("avx", "fma", "f16c", "xop", "vaes", "vpclmul")}
AARCH64 = Target("aarch64-unknown-linux-gnu", "generic", "+neon,+fp-armv8", 16, "aarch64")
X86_64_V3 = Target("x86_64-unknown-linux-gnu", "x86-64-v3", "", 32, "x86_64")
X86_64_V4 = Target("x86_64-unknown-linux-gnu", "x86-64-v4", "", 64, "x86_64")


@cache
def host() -> Target:
    """The processor that this process runs on. ``DIYA_VECTOR_BYTES`` (16, 32, 64) narrows it, for tests and timings."""
    from . import store

    name = store.key("host", fingerprint())
    known = store.read(name)
    if known is not None:
        triple, cpu, features = known.decode().split("\n")
    else:
        triple, cpu, features = _ask_llvm()
        store.write(name, "\n".join((triple, cpu, features)).encode())
    arch = triple.partition("-")[0].replace("arm64", "aarch64")
    target = Target(triple, cpu, features, _vector_bytes(arch, features), arch)
    narrow = os.environ.get("DIYA_VECTOR_BYTES")
    return target.narrowed(int(narrow)) if narrow else target


def _ask_llvm() -> tuple[str, str, str]:
    import llvmlite.binding as llvm

    triple = llvm.get_process_triple()
    if not sys.platform.startswith("linux"):
        triple += "-elf"  # the system's calling convention, in the object format that `image` links
    return triple, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _vector_bytes(arch: str, features: str) -> int:
    have = set(features.split(","))
    if {"+avx512f", "+avx512dq", "+avx512bw", "+avx512vl"} <= have:
        return 64
    return 32 if {"+avx2", "+fma"} <= have else 16


def fingerprint() -> str:
    """A cheap text that changes when the processor does (another machine may share the cache directory)."""
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    parts = [sys.platform, machine, *llvmlite_version()]
    if sys.platform.startswith("linux"):
        with open("/proc/cpuinfo", "rb") as f:
            head = f.read(8192).split(b"\n\n")[0].decode("ascii", "replace")
        wanted = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags",
                  "Features", "CPU implementer", "CPU part", "CPU variant")
        parts += [line for line in head.split("\n") if line.partition(":")[0].strip() in wanted]
    elif sys.platform == "win32":
        import ctypes

        parts.append(os.environ.get("PROCESSOR_IDENTIFIER", ""))
        present = ctypes.WinDLL("kernel32").IsProcessorFeaturePresent  # pyright: ignore
        parts.append("".join(str(int(bool(present(i)))) for i in range(64)))
    else:
        parts += [_sysctl_text(n) for n in ("machdep.cpu.brand_string", "machdep.cpu.features",
                                            "machdep.cpu.leaf7_features", "hw.optional.avx512f")]
    return "\n".join(parts)


def llvmlite_version() -> tuple[str, ...]:
    import llvmlite

    return (llvmlite.__version__,)


def _sysctl(name: str) -> bytes:
    """A value of macOS's sysctl, empty if it has none of that name."""
    import ctypes

    libc = ctypes.CDLL(None)
    size = ctypes.c_size_t(0)
    if libc.sysctlbyname(name.encode(), None, ctypes.byref(size), None, 0):
        return b""
    value = ctypes.create_string_buffer(size.value)
    libc.sysctlbyname(name.encode(), value, ctypes.byref(size), None, 0)
    return value.raw[:size.value]


def _sysctl_text(name: str) -> str:
    return _sysctl(name).rstrip(b"\0").decode("ascii", "replace")


def _text(path: str) -> str:
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return ""


# Cores -------------------------------------------------------------------------------------------------------------

def cores() -> int:
    """Cores that this process may use: its affinity, one for each physical core, within the cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        siblings = {_text(f"/sys/devices/system/cpu/cpu{c}/topology/thread_siblings_list") or str(c) for c in allowed}
        count = len(siblings)
    elif sys.platform == "darwin":
        count = int.from_bytes(_sysctl("hw.perflevel0.physicalcpu") or _sysctl("hw.physicalcpu"), "little")
    else:
        count = os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, min(count, int(quota)) if quota else count)


def cpu_quota(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> float | None:
    """CPUs' worth of time that the cgroup (v1 or v2) and all its parents allow; None if unlimited."""
    found = []
    for directory in _cgroup_directories(root, membership, "cpu"):
        limit = _text(f"{directory}/cpu.max").split()
        if not limit:
            limit = [_text(f"{directory}/cpu.cfs_quota_us"), _text(f"{directory}/cpu.cfs_period_us")]
        try:
            quota, period = float(limit[0]), float(limit[1])
        except (ValueError, IndexError):
            continue  # "max", or no such file
        if quota > 0 and period > 0:
            found.append(quota / period)
    return min(found, default=None)


def memory_limit(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> int:
    """Bytes of memory that this process may use: the machine's, or less if the cgroup says so."""
    limits = [_physical_memory()]
    for directory in _cgroup_directories(root, membership, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            value = _text(f"{directory}/{name}")
            if value.isdigit():
                limits.append(int(value))
    return min(limits)


def _physical_memory() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import ctypes

    status = (ctypes.c_uint64 * 8)()  # MEMORYSTATUSEX: two 32-bit words (its length, load), then the total
    status[0] = 64
    ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(status)  # pyright: ignore
    return status[1] or 1 << 32


def _cgroup_directories(root: str, membership: str, controller: str) -> list[str]:
    """The cgroup's directory and its parents up to the root. In a container the path may name only the host's."""
    found = []
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mounts = [root] if not controllers else [f"{root}/{controllers}", f"{root}/{controller}"]
        for mount in mounts:
            while True:
                found.append(mount + path.rstrip("/"))
                if path in ("/", ""):
                    break
                path = os.path.dirname(path)
            path = line.split(":", 2)[2]
    return found


# Caches ------------------------------------------------------------------------------------------------------------

@cache
def caches() -> tuple[int, int, int]:
    """Bytes of a core's level 1 data cache, its level 2, and the last level; usual sizes where the system is silent."""
    sizes = {1: 0, 2: 0, 3: 0}
    if sys.platform == "darwin":
        for level, names in {1: ("hw.perflevel0.l1dcachesize", "hw.l1dcachesize"),
                             2: ("hw.perflevel0.l2cachesize", "hw.l2cachesize"), 3: ("hw.l3cachesize",)}.items():
            sizes[level] = next((int.from_bytes(v, "little") for v in map(_sysctl, names) if v), 0)
    else:
        for i in range(8):
            directory = f"/sys/devices/system/cpu/cpu0/cache/index{i}"
            size, level = _text(f"{directory}/size"), _text(f"{directory}/level")
            if size.endswith("K") and level in ("1", "2", "3") and _text(f"{directory}/type") != "Instruction":
                sizes[int(level)] = int(size[:-1]) << 10
    l1 = sizes[1] or 32 << 10
    l2 = sizes[2] or 512 << 10
    return l1, l2, max(sizes[3], l2)
