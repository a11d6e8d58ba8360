"""State dicts of modules over several processes, of which there are none."""

from ..._absent import absent

__getattr__ = absent(__name__, """StateDictOptions get_model_state_dict get_optimizer_state_dict get_state_dict
    set_model_state_dict set_optimizer_state_dict set_state_dict""", "diya runs in one process: use module.state_dict()")
