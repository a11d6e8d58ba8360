"""The twins' functions in tinygrad: NCHW, whole steps in TinyJit, state assigned in place."""
import math

import numpy as np
from tinygrad import Device, Tensor, TinyJit

softmax = Tensor.softmax


def array(a):
    a = np.ascontiguousarray(a)
    return Tensor(a.astype(np.int32) if a.dtype == np.int64 else a).realize()


def scalar(x):
    return Tensor([x]).reshape(()).contiguous().realize()


def zeros_like(x):
    return Tensor.zeros(*x.shape, dtype=x.dtype).contiguous().realize()


image = array


def params(values, transposed=()):
    return {name: array(v) for name, v in values.items()}


def leaves(tree):
    if isinstance(tree, Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return [x for v in values for x in leaves(v)]


# running

def value_and_grad(fn, has_aux=False):
    def run(params, *rest):
        out = fn(params, *rest)
        loss = out[0] if has_aux else out
        return out, dict(zip(params, loss.gradient(*params.values()), strict=False))

    return run


def grads(fn, args):
    def run(*args):
        loss = fn(*args)
        return loss, loss.gradient(*args)

    return jit(run, args)


def jit(fn, args):
    @TinyJit
    def run():
        out = fn(*args)
        Tensor.realize(*leaves(out))
        return out

    return run


def assign(state, new):
    """Assign the tensors of `new` to those of `state`; returns what is still to be realized."""
    return [old.assign(x.cast(old.dtype)) for old, x in zip(leaves(state), leaves(new), strict=True) if old is not x]


def stateful(fn, state, batch):
    @TinyJit
    def run():
        out, new = fn(state, *batch)
        Tensor.realize(out, *assign(state, new))
        return out

    return run


def looped(start, body, n, args):
    *consts, _ = args
    state = None

    @TinyJit
    def first():
        new = start(*args)
        Tensor.realize(*(leaves(new) if state is None else assign(state, new)))
        return new

    @TinyJit
    def again():
        Tensor.realize(*assign(state, body(*consts, state)))

    def step():
        nonlocal state
        if state is None:
            new = start(*args)
            state = _map(lambda x: x.contiguous().clone().realize(), new)
        else:
            first()
        for _ in range(n):
            again()
        return state

    return step


def _map(fn, tree):
    if isinstance(tree, dict):
        return {k: _map(fn, v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_map(fn, v) for v in tree)
    return fn(tree)


def sync(out):
    Device[Device.DEFAULT].synchronize()


def numpy(out):
    return [x.numpy() for x in leaves(out)]


# layers

def sqrt(x):
    return x.sqrt()


def exp(x):
    return x.exp()


def minimum(a, b):
    return a.minimum(b)


def maximum(a, b):
    return a.maximum(b)


def clip(x, lo, hi):
    return x.clip(lo, hi)


def where(c, a, b):
    return c.where(a, b)


def relu(x):
    return x.relu()


def tanh(x):
    return x.tanh()


def sigmoid(x):
    return x.sigmoid()


def log(x):
    return x.log()


def concat(xs, axis=0):
    return xs[0].cat(*xs[1:], dim=axis)


def arange(n):
    return Tensor.arange(n)


def linear(x, w, b=None):
    return x.linear(w.transpose(), b)


def conv(x, w, b=None, stride=1, padding=0, groups=1):
    return x.conv2d(w, b, groups=groups, stride=stride, padding=padding)


def conv_transpose(x, w, stride, padding):
    return x.conv_transpose2d(w, stride=stride, padding=padding)


def max_pool(x, k, stride, padding=0):
    return x.max_pool2d(kernel_size=k, stride=stride, padding=padding)


def global_pool(x):
    return x.mean((2, 3))


def flatten(x):
    return x.flatten(1)


def channels_last(x):
    return x.permute(0, 2, 3, 1)


def batch_norm(x, p, s, name, train):
    w, b = p[f"{name}.weight"], p[f"{name}.bias"]
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    if train:
        n = x.numel() // x.shape[1]
        m = x.mean((0, 2, 3))
        v = (x - m.reshape(1, -1, 1, 1)).square().mean((0, 2, 3))
        s[f"{name}.running_mean"] = 0.9 * mean + 0.1 * m.detach()
        s[f"{name}.running_var"] = 0.9 * var + (0.1 * n / (n - 1)) * v.detach()
        mean, var = m, v
    return x.batchnorm(w, b, mean, (var + 1e-5).rsqrt())


def layer_norm(x, w, b=None):
    y = x.layernorm(eps=1e-5) * w
    return y if b is None else y + b


def gelu(x):
    return 0.5 * x * (1 + (x / math.sqrt(2)).erf())


def leaky_relu(x, slope):
    return x.leaky_relu(slope)


def log_softmax(x):
    return x.log_softmax()


def cross_entropy(logits, y):
    return logits.sparse_categorical_crossentropy(y)


def embedding(w, idx):
    return w[idx]


def attention(q, k, v, mask=None):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return q.scaled_dot_product_attention(k, v, attn_mask=mask, is_causal=mask is None).transpose(1, 2)


def cache_update(cache, new, pos):
    n, t = cache.shape[1], new.shape[1]
    if t > 1:  # prefill, from position 0
        return new.pad((None, (0, n - t), None, None))
    here = (Tensor.arange(n) == pos).reshape(1, n, 1, 1)
    return here.where(new, cache)


def lstm(x, h, c, w_ih, w_hh, b_ih, b_hh):
    gates, out = x.linear(w_ih.transpose(), b_ih + b_hh), []
    for t in range(x.shape[0]):
        i, f, g, o = (gates[t] + h.linear(w_hh.transpose())).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = (o.sigmoid() * c.tanh()).contiguous()
        out.append(h)
    return Tensor.stack(*out), h, c


def stop_gradient(x):
    return x.detach()


# indexing

def cumsum(x, axis=0):
    return x.cumsum(axis)


def sort(x, axis=-1):
    return x.sort(dim=axis)[0]


def argsort(x, axis=-1):
    return x.sort(dim=axis)[1]


def take_along(x, idx, axis):
    return x.gather(axis, idx)


def transpose(x):
    return x.transpose().contiguous()


def scatter_add(x, idx, src):
    if src.ndim > 1:
        idx = idx.reshape(-1, 1).expand(src.shape)
    return x.scatter_reduce(0, idx, src, reduce="sum")


def topk(x, k):
    return x.topk(k)


def argmax(x):
    return x.argmax(-1)


def fixed_point(fn, x):
    for _ in range(24):  # no loop until convergence in a TinyJit: a bound that the data stays under
        x = fn(x)
    return x


def grad_per_sample(*_):
    raise NotImplementedError("tinygrad has no vmap")


jacobian = grad_per_sample
