"""``torch.utils.tensorboard``: refused where used; writing event files needs the package ``tensorboard``."""

from __future__ import annotations


class SummaryWriter:
    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.utils.tensorboard.SummaryWriter is not supported: diya writes no event files. The "
                                  "package tensorboardX has a SummaryWriter that takes numpy arrays and numbers")


FileWriter = SummaryWriter
