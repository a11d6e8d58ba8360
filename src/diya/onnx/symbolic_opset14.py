"""Exports of operators in version 14 of ONNX, of which there are none."""
