"""``torch.distributed._composable``: parallelism as functions over modules, which needs several processes."""
