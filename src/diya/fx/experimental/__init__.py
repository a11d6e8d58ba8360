"""`torch.fx.experimental`: what asks about tracers."""
