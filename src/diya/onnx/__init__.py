"""``torch.onnx``: no export. Asked, none is under way; used, it says so."""

from __future__ import annotations

from collections.abc import Callable

from .._absent import absent


class OnnxExporterError(RuntimeError):
    """An export failed. Never raised: nothing is exported."""


def is_in_onnx_export() -> bool:
    return False


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Callable, opset_version: int) -> None:
    """Accepted: it says how an operator would be exported."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Accepted."""


__getattr__ = absent(__name__, "ExportableModule InputObserver ONNXProgram export dynamo_export OperatorExportTypes TrainingMode "
                     "TensorProtoDataType JitScalarType", "diya does not write ONNX files")
