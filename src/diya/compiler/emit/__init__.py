"""Back ends of the compiler: loop IR to the text of a target's assembler. ``llvm`` serves every CPU target."""
