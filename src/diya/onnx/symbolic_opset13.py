"""Exports of operators in version 13 of ONNX, of which there are none."""
