"""Exports of operators in version 9 of ONNX, of which there are none."""
