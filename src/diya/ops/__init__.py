"""The operator table. Importing this package defines every operator; `OPERATORS` holds their records.

A module is a family; an operator stands in one place with its rules. The order of imports is the order in which
families build on one another.
"""

from . import movement as movement  # isort: skip
from . import elementwise as elementwise  # isort: skip
from . import creation as creation  # isort: skip
from . import reduce as reduce  # isort: skip
from . import scan as scan  # isort: skip
from . import contraction as contraction  # isort: skip
from . import matmul as matmul  # isort: skip
from . import einsum as einsum  # isort: skip
from . import index as index  # isort: skip
from . import random as random  # isort: skip
from . import shape as shape  # isort: skip
from . import sort as sort  # isort: skip
from . import scatter as scatter  # isort: skip
from . import norm as norm  # isort: skip
from . import arithmetic as arithmetic  # isort: skip
from . import dropout as dropout  # isort: skip
from . import activation as activation  # isort: skip
from . import distance as distance  # isort: skip
from . import loss as loss  # isort: skip
from . import convolution as convolution  # isort: skip
from . import pooling as pooling  # isort: skip
from . import normalization as normalization  # isort: skip
from . import embedding as embedding  # isort: skip
from . import attention as attention  # isort: skip
from . import vision as vision  # isort: skip
from . import decomposition as decomposition  # isort: skip
from . import linalg as linalg  # isort: skip
from . import special as special  # isort: skip
from . import spectral as spectral  # isort: skip
from . import windows as windows  # isort: skip
from . import masked as masked  # isort: skip
from . import histogram as histogram  # isort: skip
from . import private as private  # isort: skip
from .private import aten as aten  # isort: skip
from ..extensions import load_library as load_library  # isort: skip
from . import lowrank as lowrank  # isort: skip
from . import queries as queries  # isort: skip
from . import sparse as sparse  # isort: skip
from ..tensor import Tensor  # isort: skip
from .record import OPERATORS as OPERATORS  # isort: skip


# In-place forms that are functions of ``torch`` too, beside those of operators of one tensor.
_IN_PLACE_FUNCTIONS = frozenset(("addmv", "clamp", "clamp_min", "clamp_max", "fill", "gcd", "lcm", "ldexp", "logit", "index_put",
                                 "xlogy", "nan_to_num"))


def inputs_of(record) -> tuple[str, ...]:
    """The names of an operator's positional parameters."""
    code = getattr(record.function, "__wrapped__", record.function).__code__
    return code.co_varnames[:code.co_argcount]


def publish(namespace: dict, prefix: str = "") -> None:
    """Puts the operators whose path is ``prefix`` + one name into a module's namespace, under all their names."""
    for path, record in OPERATORS.items():
        if path.startswith(prefix):
            name = path[len(prefix):]
            if "." not in name:
                for alias in (name, *record.aliases):
                    namespace[alias] = record.function
                if not prefix and (len(inputs_of(record)) == 1 or name in _IN_PLACE_FUNCTIONS):
                    for alias in record.inplace:
                        namespace[alias] = getattr(Tensor, alias)
