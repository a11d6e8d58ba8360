"""`torch._higher_order_ops`: operators that take functions. Here they are Python's own control flow, differentiable as written."""

from .associative_scan import associative_scan as associative_scan
from .cond import cond as cond
from .map import map as map
from .scan import scan as scan
from .while_loop import while_loop as while_loop
