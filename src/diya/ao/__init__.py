"""``torch.ao``: quantisation, which is refused where it is used."""

from . import quantization as quantization
