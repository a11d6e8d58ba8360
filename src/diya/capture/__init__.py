"""`torch.compile`: calls that are known are recorded again without running their Python.

A function's syntax tree is evaluated once on stand-ins for the tensors that it reads (`evaluator`). Whatever else it looks at
outside of itself (arguments, attributes, globals, lengths) becomes a guard (`outside`). What was recorded, forward and
backward, is kept as a `Region`; a later call whose guards hold records that again. A function that does more than compute
tensors (prints, draws on a tensor's value, changes an object from outside) cannot be captured, and runs as it is written.
"""




from .compiled import Compiled, Remembered

__all__ = ["Compiled", "Remembered"]
