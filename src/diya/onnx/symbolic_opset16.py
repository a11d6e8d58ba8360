"""Exports of operators in version 16 of ONNX, of which there are none."""
