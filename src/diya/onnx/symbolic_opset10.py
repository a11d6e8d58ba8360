"""Exports of operators in version 10 of ONNX, of which there are none."""
