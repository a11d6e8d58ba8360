"""Exports of operators in version 12 of ONNX, of which there are none."""
