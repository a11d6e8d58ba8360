"""Exports of operators in version 11 of ONNX, of which there are none."""
