"""The native part of running programs, as LLVM text: the replay of steps, sharing of a step's tasks, a worker's loop.

Layout (8-byte words unless said otherwise)::

    program  steps, number of steps, longest refs, fault slot, bytes of scratch for a thread, pool
    step     kernel, refs, number of refs, args, tasks, work (ns on one core), least tasks in a claim, 0
    ref      slot, byte offset: the kernel's next buffer is slots[slot] + offset
    fault    code, position, value, step, lock
    pool     lock, unlock, wait, signal: the system's functions; mutex, two conditions: 128 bytes each; and below

A step's tasks are fixed by its shapes. One thread runs all of them by one call, or several claim ranges of them from a
counter until none is left. One step has the pool at a time; a replay that finds it taken runs its step alone. Workers
that find no work watch for it for a few microseconds, then sleep.

Why this is safe: ``wanted`` (helpers still asked for) and joining change under the mutex, and the owner sets ``wanted``
to 0 before it waits for ``active`` to reach 0, so a worker that wakes late joins nothing. A worker that leaves last and
an owner that goes to sleep each write before they read (sequentially consistent), so one of them sees the other.
"""

from __future__ import annotations

MUTEX, WORK, DONE = 64, 192, 320  # offsets in the pool of the mutex and of the conditions
WATCH, NEXT, POOL_BYTES = 496, 512, 640  # how long to watch for work; the next task to claim (a cache line of its own)
SHARE = 25_000  # ns of work that make a helper worth waking

_PAUSE = {"x86_64": "call void @llvm.x86.sse2.pause()", "aarch64": "call void @llvm.aarch64.hint(i32 1)"}
_DECLARE = {"x86_64": "declare void @llvm.x86.sse2.pause()", "aarch64": "declare void @llvm.aarch64.hint(i32)"}

# A kernel that finds a fault (an index out of range) calls this. The lowest position is kept, so that the report is
# the same for any number of threads.
FAULT_IR = """
define internal void @diya_fault(ptr %fault, i64 %code, i64 %position, i64 %value) noinline nounwind {
  %lock = getelementptr i64, ptr %fault, i64 4
  br label %acquire
acquire:
  %taken = atomicrmw xchg ptr %lock, i64 1 acquire
  %free = icmp eq i64 %taken, 0
  br i1 %free, label %held, label %acquire
held:
  %old = load i64, ptr %fault
  %none = icmp eq i64 %old, 0
  %at = getelementptr i64, ptr %fault, i64 1
  %before = load i64, ptr %at
  %lower = icmp slt i64 %position, %before
  %better = or i1 %none, %lower
  br i1 %better, label %record, label %release
record:
  store i64 %code, ptr %fault
  store i64 %position, ptr %at
  %what = getelementptr i64, ptr %fault, i64 2
  store i64 %value, ptr %what
  br label %release
release:
  store atomic i64 0, ptr %lock release, align 8
  ret void
}
"""

_TEXT = """
%program = type { ptr, i64, i64, i64, i64, ptr }
%step = type { ptr, ptr, i64, ptr, i64, i64, i64, i64 }
; the system's functions, mutex, conditions, then: job, helpers wanted, helpers active, workers asleep, owner,
; owner asleep, watch, unused, the next task
%pool = type { ptr, ptr, ptr, ptr, [4 x i64], [16 x i64], [16 x i64], [16 x i64],
               ptr, i64, i64, i64, i64, i64, i64, i64, i64 }
; kernel, buffers, args, tasks, tasks in a claim, scratch, bytes of scratch for a thread
%job = type { ptr, ptr, ptr, i64, i64, ptr, i64 }

$DECLARE
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)

define internal void @lock(ptr %pool) alwaysinline nounwind {
  %f = load ptr, ptr %pool
  %mutex = getelementptr %pool, ptr %pool, i64 0, i32 5
  call void %f(ptr %mutex)
  ret void
}

define internal void @unlock(ptr %pool) alwaysinline nounwind {
  %at = getelementptr %pool, ptr %pool, i64 0, i32 1
  %f = load ptr, ptr %at
  %mutex = getelementptr %pool, ptr %pool, i64 0, i32 5
  call void %f(ptr %mutex)
  ret void
}

; pthread_cond_wait takes two arguments, SleepConditionVariableSRW four: the last are an endless timeout and no flags
define internal void @wait(ptr %pool, ptr %condition) alwaysinline nounwind {
  %at = getelementptr %pool, ptr %pool, i64 0, i32 2
  %f = load ptr, ptr %at
  %mutex = getelementptr %pool, ptr %pool, i64 0, i32 5
  call void %f(ptr %condition, ptr %mutex, i32 -1, i32 0)
  ret void
}

define internal void @signal(ptr %pool, ptr %condition) alwaysinline nounwind {
  %at = getelementptr %pool, ptr %pool, i64 0, i32 3
  %f = load ptr, ptr %at
  call void %f(ptr %condition)
  ret void
}

; claims ranges of the job's tasks until none is left
define internal void @share(ptr %pool, ptr %job, i64 %thread) nounwind {
  %kernel = load ptr, ptr %job
  %p.buffers = getelementptr %job, ptr %job, i64 0, i32 1
  %buffers = load ptr, ptr %p.buffers
  %p.args = getelementptr %job, ptr %job, i64 0, i32 2
  %args = load ptr, ptr %p.args
  %p.tasks = getelementptr %job, ptr %job, i64 0, i32 3
  %tasks = load i64, ptr %p.tasks
  %p.claim = getelementptr %job, ptr %job, i64 0, i32 4
  %claim = load i64, ptr %p.claim
  %p.scratch = getelementptr %job, ptr %job, i64 0, i32 5
  %base = load ptr, ptr %p.scratch
  %p.stride = getelementptr %job, ptr %job, i64 0, i32 6
  %stride = load i64, ptr %p.stride
  %offset = mul i64 %stride, %thread
  %scratch = getelementptr i8, ptr %base, i64 %offset
  %next = getelementptr %pool, ptr %pool, i64 0, i32 16
  br label %loop
loop:
  %begin = atomicrmw add ptr %next, i64 %claim monotonic
  %more = icmp ult i64 %begin, %tasks
  br i1 %more, label %run, label %done
run:
  %limit = add i64 %begin, %claim
  %end = call i64 @llvm.umin.i64(i64 %limit, i64 %tasks)
  call void %kernel(ptr %buffers, ptr %args, i64 %begin, i64 %end, ptr %scratch)
  br label %loop
done:
  ret void
}

; watches a word for up to %count pauses until it is positive (%awaited true) or zero (false); returns the pauses left
define internal i64 @watch(ptr %word, i64 %count, i1 %awaited) nounwind {
entry:
  br label %loop
loop:
  %left = phi i64 [ %count, %entry ], [ %less, %again ]
  %v = load atomic i64, ptr %word monotonic, align 8
  %positive = icmp sgt i64 %v, 0
  %seen = icmp eq i1 %positive, %awaited
  %over = icmp eq i64 %left, 0
  %stop = or i1 %seen, %over
  br i1 %stop, label %done, label %again
again:
  $PAUSE
  %less = sub i64 %left, 1
  br label %loop
done:
  ret i64 %left
}

; pauses a number of times: to find out how long a pause is
define void @diya_pause(i64 %count) nounwind {
  %never = alloca i64
  store volatile i64 0, ptr %never
  %left = call i64 @watch(ptr %never, i64 %count, i1 true)
  ret void
}

; a worker: takes part in steps until the process ends
define void @diya_work(ptr %pool) nounwind {
entry:
  %p.job = getelementptr %pool, ptr %pool, i64 0, i32 8
  %p.wanted = getelementptr %pool, ptr %pool, i64 0, i32 9
  %p.active = getelementptr %pool, ptr %pool, i64 0, i32 10
  %p.asleep = getelementptr %pool, ptr %pool, i64 0, i32 11
  %p.owner.asleep = getelementptr %pool, ptr %pool, i64 0, i32 13
  %p.watch = getelementptr %pool, ptr %pool, i64 0, i32 14
  %work = getelementptr %pool, ptr %pool, i64 0, i32 6
  %finished = getelementptr %pool, ptr %pool, i64 0, i32 7
  br label %idle
idle:  ; watch for as long as that has paid of late: twice as long after a success, half as long after a failure
  %patience = phi i64 [ 0, %entry ], [ %patience.next, %left ], [ %patience.next, %last ]
  %rest = call i64 @watch(ptr %p.wanted, i64 %patience, i1 true)
  call void @lock(ptr %pool)
  br label %check
check:
  %slept = phi i1 [ false, %idle ], [ true, %sleep ]
  %wanted = load i64, ptr %p.wanted
  %none = icmp eq i64 %wanted, 0
  br i1 %none, label %sleep, label %join
sleep:
  %asleep = load i64, ptr %p.asleep
  %asleep.more = add i64 %asleep, 1
  store i64 %asleep.more, ptr %p.asleep
  call void @wait(ptr %pool, ptr %work)
  %asleep.now = load i64, ptr %p.asleep
  %asleep.less = sub i64 %asleep.now, 1
  store i64 %asleep.less, ptr %p.asleep
  br label %check
join:
  %wanted.less = sub i64 %wanted, 1
  store atomic i64 %wanted.less, ptr %p.wanted monotonic, align 8
  atomicrmw add ptr %p.active, i64 1 seq_cst
  %job = load ptr, ptr %p.job
  call void @unlock(ptr %pool)
  %longest = load i64, ptr %p.watch
  %least = lshr i64 %longest, 3
  %half = lshr i64 %patience, 1
  %half.floor = call i64 @llvm.umax.i64(i64 %half, i64 %least)
  %twice = shl i64 %patience, 1
  %twice.least = call i64 @llvm.umax.i64(i64 %twice, i64 %least)
  %twice.cap = call i64 @llvm.umin.i64(i64 %twice.least, i64 %longest)
  %patience.next = select i1 %slept, i64 %half.floor, i64 %twice.cap
  call void @share(ptr %pool, ptr %job, i64 %wanted)
  %before = atomicrmw sub ptr %p.active, i64 1 seq_cst
  %is.last = icmp eq i64 %before, 1
  %owner.asleep = load atomic i64, ptr %p.owner.asleep seq_cst, align 8
  %awaited = icmp ne i64 %owner.asleep, 0
  %wake = and i1 %is.last, %awaited
  br i1 %wake, label %last, label %left
last:
  call void @lock(ptr %pool)
  call void @signal(ptr %pool, ptr %finished)
  call void @unlock(ptr %pool)
  br label %idle
left:
  br label %idle
}

; the owner's side of a shared step: asks for helpers, takes part, waits for those that joined
define internal void @lead(ptr %pool, ptr %job, i64 %helpers) noinline nounwind {
entry:
  %p.job = getelementptr %pool, ptr %pool, i64 0, i32 8
  %p.wanted = getelementptr %pool, ptr %pool, i64 0, i32 9
  %p.active = getelementptr %pool, ptr %pool, i64 0, i32 10
  %p.asleep = getelementptr %pool, ptr %pool, i64 0, i32 11
  %p.owner.asleep = getelementptr %pool, ptr %pool, i64 0, i32 13
  %p.watch = getelementptr %pool, ptr %pool, i64 0, i32 14
  %next = getelementptr %pool, ptr %pool, i64 0, i32 16
  %work = getelementptr %pool, ptr %pool, i64 0, i32 6
  %finished = getelementptr %pool, ptr %pool, i64 0, i32 7
  call void @lock(ptr %pool)
  store ptr %job, ptr %p.job
  store i64 0, ptr %next
  store atomic i64 %helpers, ptr %p.wanted monotonic, align 8
  %asleep = load i64, ptr %p.asleep
  call void @unlock(ptr %pool)
  %wakes = call i64 @llvm.umin.i64(i64 %asleep, i64 %helpers)
  br label %wake
wake:
  %k = phi i64 [ 0, %entry ], [ %k.next, %wake.one ]
  %more = icmp ult i64 %k, %wakes
  br i1 %more, label %wake.one, label %take.part
wake.one:
  call void @signal(ptr %pool, ptr %work)
  %k.next = add i64 %k, 1
  br label %wake
take.part:
  call void @share(ptr %pool, ptr %job, i64 0)
  call void @lock(ptr %pool)
  store atomic i64 0, ptr %p.wanted monotonic, align 8
  call void @unlock(ptr %pool)
  %watch = load i64, ptr %p.watch
  %rest = call i64 @watch(ptr %p.active, i64 %watch, i1 false)
  %left = load atomic i64, ptr %p.active seq_cst, align 8
  %busy = icmp ne i64 %left, 0
  br i1 %busy, label %rest.begin, label %done
rest.begin:
  call void @lock(ptr %pool)
  store atomic i64 1, ptr %p.owner.asleep seq_cst, align 8
  br label %rest.check
rest.check:
  %active = load atomic i64, ptr %p.active seq_cst, align 8
  %still = icmp ne i64 %active, 0
  br i1 %still, label %rest.sleep, label %rest.end
rest.sleep:
  call void @wait(ptr %pool, ptr %finished)
  br label %rest.check
rest.end:
  store atomic i64 0, ptr %p.owner.asleep seq_cst, align 8
  call void @unlock(ptr %pool)
  br label %done
done:
  ret void
}

; runs one step's tasks, alone or shared
define internal void @run(ptr %pool, ptr %step, ptr %buffers, ptr %scratch, i64 %stride, i64 %threads) nounwind {
  %job = alloca %job
  %kernel = load ptr, ptr %step
  %p.args = getelementptr %step, ptr %step, i64 0, i32 3
  %args = load ptr, ptr %p.args
  %p.tasks = getelementptr %step, ptr %step, i64 0, i32 4
  %tasks = load i64, ptr %p.tasks
  %p.work = getelementptr %step, ptr %step, i64 0, i32 5
  %work = load i64, ptr %p.work
  %shares = udiv i64 %work, $SHARE
  %people.task = call i64 @llvm.umin.i64(i64 %shares, i64 %tasks)
  %people = call i64 @llvm.umin.i64(i64 %people.task, i64 %threads)
  %several = icmp ugt i64 %people, 1
  br i1 %several, label %ask, label %alone
ask:
  %p.owner = getelementptr %pool, ptr %pool, i64 0, i32 12
  %pair = cmpxchg ptr %p.owner, i64 0, i64 1 acquire monotonic
  %ours = extractvalue { i64, i1 } %pair, 1
  br i1 %ours, label %shared, label %alone
shared:  ; about eight claims a thread: even shares though tasks differ, and few atomic operations
  %p.least = getelementptr %step, ptr %step, i64 0, i32 6
  %least = load i64, ptr %p.least
  %eight = shl i64 %people, 3
  %even = udiv i64 %tasks, %eight
  %claim = call i64 @llvm.umax.i64(i64 %even, i64 %least)
  store ptr %kernel, ptr %job
  %j.buffers = getelementptr %job, ptr %job, i64 0, i32 1
  store ptr %buffers, ptr %j.buffers
  %j.args = getelementptr %job, ptr %job, i64 0, i32 2
  store ptr %args, ptr %j.args
  %j.tasks = getelementptr %job, ptr %job, i64 0, i32 3
  store i64 %tasks, ptr %j.tasks
  %j.claim = getelementptr %job, ptr %job, i64 0, i32 4
  store i64 %claim, ptr %j.claim
  %j.scratch = getelementptr %job, ptr %job, i64 0, i32 5
  store ptr %scratch, ptr %j.scratch
  %j.stride = getelementptr %job, ptr %job, i64 0, i32 6
  store i64 %stride, ptr %j.stride
  %helpers = sub i64 %people, 1
  call void @lead(ptr %pool, ptr %job, i64 %helpers)
  store atomic i64 0, ptr %p.owner release, align 8
  ret void
alone:
  call void %kernel(ptr %buffers, ptr %args, i64 0, i64 %tasks, ptr %scratch)
  ret void
}

; all steps of a program, in order; returns 0, or 1 + the index of the step that found a fault
define i64 @diya_replay(ptr %program, ptr %slots, ptr %scratch, i64 %threads) nounwind {
entry:
  %steps = load ptr, ptr %program
  %p.count = getelementptr %program, ptr %program, i64 0, i32 1
  %count = load i64, ptr %p.count
  %p.longest = getelementptr %program, ptr %program, i64 0, i32 2
  %longest = load i64, ptr %p.longest
  %p.slot = getelementptr %program, ptr %program, i64 0, i32 3
  %slot = load i64, ptr %p.slot
  %p.stride = getelementptr %program, ptr %program, i64 0, i32 4
  %stride = load i64, ptr %p.stride
  %p.pool = getelementptr %program, ptr %program, i64 0, i32 5
  %pool = load ptr, ptr %p.pool
  %p.fault = getelementptr ptr, ptr %slots, i64 %slot
  %fault = load ptr, ptr %p.fault
  %buffers = alloca ptr, i64 %longest, align 16
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %ran ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %step, label %finished
step:
  %s = getelementptr %step, ptr %steps, i64 %i
  %p.refs = getelementptr %step, ptr %s, i64 0, i32 1
  %refs = load ptr, ptr %p.refs
  %p.n = getelementptr %step, ptr %s, i64 0, i32 2
  %n = load i64, ptr %p.n
  br label %bind
bind:
  %k = phi i64 [ 0, %step ], [ %k.next, %bind.one ]
  %k.more = icmp ult i64 %k, %n
  br i1 %k.more, label %bind.one, label %ready
bind.one:
  %ref = getelementptr [2 x i64], ptr %refs, i64 %k
  %which = load i64, ptr %ref
  %p.offset = getelementptr i64, ptr %ref, i64 1
  %offset = load i64, ptr %p.offset
  %p.base = getelementptr ptr, ptr %slots, i64 %which
  %base = load ptr, ptr %p.base
  %address = getelementptr i8, ptr %base, i64 %offset
  %to = getelementptr ptr, ptr %buffers, i64 %k
  store ptr %address, ptr %to
  %k.next = add i64 %k, 1
  br label %bind
ready:
  call void @run(ptr %pool, ptr %s, ptr %buffers, ptr %scratch, i64 %stride, i64 %threads)
  %code = load i64, ptr %fault
  %faulty = icmp ne i64 %code, 0
  br i1 %faulty, label %stop, label %ran
ran:
  %i.next = add i64 %i, 1
  br label %next
stop:
  %f.step = getelementptr i64, ptr %fault, i64 3
  store i64 %i, ptr %f.step
  %result = add i64 %i, 1
  ret i64 %result
finished:
  ret i64 0
}
"""


def text(arch: str) -> str:
    """The module for an architecture."""
    return _TEXT.replace("$DECLARE", _DECLARE[arch]).replace("$PAUSE", _PAUSE[arch]).replace("$SHARE", str(SHARE))
