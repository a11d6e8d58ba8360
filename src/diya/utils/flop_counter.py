"""``torch.utils.flop_counter``: refused where used."""

from .._absent import absent

__getattr__ = absent(__name__, "FlopCounterMode register_flop_formula",
                     "operators are compiled together and not counted one by one")
