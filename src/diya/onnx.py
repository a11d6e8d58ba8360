"""``torch.onnx``: no export. Asked, none is under way; used, it says so."""

from __future__ import annotations

from ._absent import absent


class OnnxExporterError(RuntimeError):
    """An export failed. Never raised: nothing is exported."""


def is_in_onnx_export() -> bool:
    return False


__getattr__ = absent(__name__, "ExportableModule InputObserver ONNXProgram export OperatorExportTypes TrainingMode "
                     "TensorProtoDataType register_custom_op_symbolic unregister_custom_op_symbolic",
                     "diya does not write ONNX files")
