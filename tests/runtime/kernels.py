"""Small kernels in LLVM text, for tests of loading and replay."""

from __future__ import annotations

import ctypes

import numpy as np

HEAD = "(ptr %buffers, ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind"


def empty(name="empty"):
    return f"define void @{name}{HEAD} {{ ret void }}"


def add(amount: float, name="add"):
    """Task i adds ``amount`` to the i-th block of args[0] (a multiple of 16) float32 numbers."""
    return f"""
define void @{name}{HEAD} {{
entry:
  %x = load ptr, ptr %buffers
  %n = load i64, ptr %args
  %low = mul i64 %begin, %n
  %high = mul i64 %end, %n
  br label %loop
loop:
  %i = phi i64 [%low, %entry], [%next, %loop]
  %p = getelementptr float, ptr %x, i64 %i
  %v = load <16 x float>, ptr %p, align 4
  %w = fadd <16 x float> %v, splat (float {amount:.1f})
  store <16 x float> %w, ptr %p, align 4
  %next = add i64 %i, 16
  %more = icmp ult i64 %next, %high
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""


def count(name="count"):
    """Task i adds 1 to the i-th int64, through scratch that no other thread may touch meanwhile."""
    return f"""
define void @{name}{HEAD} {{
entry:
  %x = load ptr, ptr %buffers
  br label %loop
loop:
  %i = phi i64 [%begin, %entry], [%next, %loop]
  %p = getelementptr i64, ptr %x, i64 %i
  %v = load i64, ptr %p
  store volatile i64 %i, ptr %scratch
  %s = load volatile i64, ptr %scratch
  %wrong = sub i64 %s, %i
  %w = add i64 %v, 1
  %w2 = add i64 %w, %wrong
  store i64 %w2, ptr %p
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""


def faulty(name="faulty"):
    """Task i reports a fault, code 7, if the i-th int64 is negative."""
    from diya.runtime.cpu.replay import FAULT_IR
    return FAULT_IR + f"""
define void @{name}{HEAD} {{
entry:
  %x = load ptr, ptr %buffers
  %p.fault = getelementptr ptr, ptr %buffers, i64 1
  %fault = load ptr, ptr %p.fault
  br label %loop
loop:
  %i = phi i64 [%begin, %entry], [%next, %on]
  %p = getelementptr i64, ptr %x, i64 %i
  %v = load i64, ptr %p
  %bad = icmp slt i64 %v, 0
  br i1 %bad, label %report, label %on
report:
  call void @diya_fault(ptr %fault, i64 7, i64 %i, i64 %v)
  br label %on
on:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""


class Slots:
    """A program's slots: buffers, and the fault record last."""

    def __init__(self, *arrays):
        self.fault = np.zeros(8, np.int64)
        self.arrays = (*arrays, self.fault)
        self.words = np.array([a.ctypes.data for a in self.arrays], np.int64)
        self.address, self.fault_slot = self.words.ctypes.data, len(arrays)


def call(entry, *arrays, args=(), begin=0, end=1):
    """Calls one kernel directly."""
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    words = (ctypes.c_int64 * max(len(args), 1))(*args)
    table = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
    scratch = (ctypes.c_int64 * 64)()
    kernel(entry)(ctypes.addressof(table), ctypes.addressof(words), begin, end, ctypes.addressof(scratch))
