"""``torch.ao.quantization``: models that are made ready for quantisation run in floating point; quantising them is refused."""

from __future__ import annotations

from typing import Any

from ..._absent import absent
from ...nn import Module, Sequential
from ...nn.utils.fusion import fuse_conv_bn_eval


class QuantStub(Module):
    """Where tensors would be quantised. Until a model is converted it passes them on."""

    def __init__(self, qconfig: Any = None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x):
        return x


class DeQuantStub(QuantStub):
    """Where tensors would be made floating-point again."""


class QuantWrapper(Module):
    """A module between the stubs."""

    def __init__(self, module: Module):
        super().__init__()
        self.quant, self.dequant, self.module = QuantStub(), DeQuantStub(), module
        self.train(module.training)

    def forward(self, X):
        return self.dequant(self.module(self.quant(X)))


def fuse_conv_bn(is_qat: bool, conv: Module, bn: Module) -> Module:
    """A convolution and a batch normalisation as one convolution, in evaluation mode."""
    if is_qat or conv.training:
        raise NotImplementedError("torch.ao.quantization.fuse_conv_bn is supported for modules in evaluation mode only")
    return fuse_conv_bn_eval(conv, bn)


def fuse_conv_bn_relu(is_qat: bool, conv: Module, bn: Module, relu: Module) -> Module:
    return Sequential(fuse_conv_bn(is_qat, conv, bn), relu)


__getattr__ = absent(__name__, """FakeQuantize FakeQuantizeBase FixedQParamsFakeQuantize FusedMovingAvgObsFakeQuantize
    HistogramObserver MinMaxObserver MovingAverageMinMaxObserver MovingAveragePerChannelMinMaxObserver NoopObserver ObserverBase
    PerChannelMinMaxObserver PlaceholderObserver QConfig QConfigDynamic QConfigMapping RecordingObserver add_quant_dequant convert
    default_dynamic_qconfig disable_fake_quant disable_observer enable_fake_quant enable_observer fuse_modules fuse_modules_qat
    get_default_qat_qconfig get_default_qat_qconfig_mapping get_default_qconfig get_default_qconfig_mapping prepare prepare_qat
    propagate_qconfig_ quantize quantize_dynamic quantize_qat swap_module""", "diya has no quantised tensors")
