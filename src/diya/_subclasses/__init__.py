"""`torch._subclasses`: tensors without data, of which there are none."""
