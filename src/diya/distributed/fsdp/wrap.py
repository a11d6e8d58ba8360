"""Which modules FSDP would take apart."""

from ..._absent import absent

__getattr__ = absent(__name__, "CustomPolicy ModuleWrapPolicy always_wrap_policy enable_wrap lambda_auto_wrap_policy "
                     "size_based_auto_wrap_policy transformer_auto_wrap_policy wrap", "diya runs in one process")
