"""The compiler: a graph to a program of native kernels. Read the modules in the order of the line:

    pipeline      the line itself, and `Program`, which runs what it made
    roots         which values are stored, which are recomputed where they are read
    access        index maps: how a value is read through views, broadcasts and indices
    schedule      stored values gathered into steps; a step is one kernel
    loops         loop IR: the grammar of a kernel, its printer and verifier, and its size-free `Template`
    lower         a step to loop IR
    optimise      the order of loops, vectors, unrolling, pieces, tasks
    contraction   the one kernel kind that is not loops: products summed over indices
    plan          which buffer every value lives in
    emit/         loop IR and contractions to LLVM IR; the builder `b` that emit rules are written for; vector maths
    explain       every stage, printed
    support       what becomes native code at all; the rest are host steps, run by the interpreter

``tests/stages/golden`` shows every stage of small graphs.
"""
