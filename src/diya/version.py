"""The version of diya, and of the PyTorch whose behaviour it follows."""

__version__ = "0.1.0"
torch_version = "2.13.0"
cuda = hip = rocm = xpu = git_version = None  # no such device, no such build
debug = False
