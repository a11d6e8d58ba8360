"""The twins' functions in JAX: NHWC, (in, out) weights, whole steps jitted, state donated."""
import jax
import jax.numpy as jnp
import numpy as np
from data import is_embedding
from jax import lax

array = jnp.asarray
zeros_like = jnp.zeros_like
sqrt, minimum, maximum, where, exp, log, clip = jnp.sqrt, jnp.minimum, jnp.maximum, jnp.where, jnp.exp, jnp.log, jnp.clip
relu, tanh, sigmoid = jax.nn.relu, jnp.tanh, jax.nn.sigmoid
concat, arange, softmax = jnp.concatenate, jnp.arange, jax.nn.softmax
cumsum, sort, argsort, take_along, transpose = jnp.cumsum, jnp.sort, jnp.argsort, jnp.take_along_axis, jnp.transpose


def scalar(x):
    return jnp.float32(x)


def image(x):
    """A NumPy NCHW batch in the layout that conv takes."""
    return jnp.asarray(x.transpose(0, 2, 3, 1))


def params(values, transposed=()):
    """NumPy parameters in PyTorch's layout -> this framework's; transposed: ConvTranspose names."""
    out = {}
    for name, v in values.items():
        if name in transposed:
            v = v[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        elif v.ndim == 4:
            v = v.transpose(2, 3, 1, 0)
        elif v.ndim == 2 and not is_embedding(name):
            v = v.T
        out[name] = jnp.asarray(v)
    return out


# running

def value_and_grad(fn, has_aux=False):
    return jax.value_and_grad(fn, has_aux=has_aux)


def grads(fn, args):
    """Step returning fn(*args) and its gradient w.r.t. every argument."""
    vg = jax.jit(jax.value_and_grad(fn, argnums=tuple(range(len(args)))))
    return lambda: vg(*args)


def jit(fn, args):
    fn = jax.jit(fn)
    return lambda: fn(*args)


def stateful(fn, state, batch):
    """Step running fn(state, *batch) -> (out, state) and keeping the state."""
    fn = jax.jit(fn, donate_argnums=0)

    def step():
        nonlocal state
        out, state = fn(state, *batch)
        return out

    return step


def looped(start, body, n, args):
    """Step running state = start(*args), then n times state = body(*args, state)."""
    fn = jax.jit(lambda *args: lax.fori_loop(0, n, lambda _, s: body(*args[:-1], s), start(*args)))
    return lambda: fn(*args)


def sync(out):
    jax.block_until_ready(out)


def numpy(out):
    return [np.asarray(x) for x in jax.tree.leaves(out)]


# layers

def linear(x, w, b=None):
    return x @ w if b is None else x @ w + b


def conv(x, w, b=None, stride=1, padding=0, groups=1):
    y = lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2,
                                 dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)
    return y if b is None else y + b


def conv_transpose(x, w, stride, padding):
    pad = w.shape[0] - 1 - padding
    return lax.conv_general_dilated(x, w, (1, 1), [(pad, pad)] * 2, lhs_dilation=(stride, stride),
                                    dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(x, k, stride, padding=0):
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, k, k, 1), (1, stride, stride, 1), pads)


def global_pool(x):
    return x.mean((1, 2))


def flatten(x):
    """Flatten an image in PyTorch's order of elements."""
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


def channels_last(x):
    """An image with its channels last."""
    return x


def batch_norm(x, p, s, name, train):
    """Normalise by the batch (and renew the statistics in s) or, not in training, by s."""
    w, b = p[f"{name}.weight"], p[f"{name}.bias"]
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    if train:
        n = x.size // x.shape[-1]
        m, v = x.mean((0, 1, 2)), x.var((0, 1, 2))
        s[f"{name}.running_mean"] = 0.9 * mean + 0.1 * lax.stop_gradient(m)
        s[f"{name}.running_var"] = 0.9 * var + (0.1 * n / (n - 1)) * lax.stop_gradient(v)
        mean, var = m, v
    scale = lax.rsqrt(var + 1e-5) * w
    return x * scale + (b - mean * scale)


def layer_norm(x, w, b=None):
    mean = x.mean(-1, keepdims=True)
    y = (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * w
    return y if b is None else y + b


def gelu(x):
    return jax.nn.gelu(x, approximate=False)


def leaky_relu(x, slope):
    return jax.nn.leaky_relu(x, slope)


def log_softmax(x):
    return jax.nn.log_softmax(x)


def cross_entropy(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def embedding(w, idx):
    return w[idx]


def attention(q, k, v, mask=None):
    """Scaled dot-product attention over (B, T, H, D): causal, or by a (T, S) mask."""
    if mask is None:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return jax.nn.dot_product_attention(q, k, v, mask=mask[None, None])


def cache_update(cache, new, pos):
    """Write new (B, T, H, D) into cache at position pos of axis 1."""
    return lax.dynamic_update_slice_in_dim(cache, new, pos, 1)


def lstm(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """One LSTM layer over x (T, B, I)."""
    def cell(carry, gates):
        h, c = carry
        i, f, g, o = jnp.split(gates + h @ w_hh, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h, c), h

    (h, c), y = lax.scan(cell, (h, c), x @ w_ih + b_ih + b_hh)
    return y, h, c


def stop_gradient(x):
    return lax.stop_gradient(x)


# indexing

def scatter_add(x, idx, src):
    return x.at[idx].add(src)


def topk(x, k):
    return lax.top_k(x, k)


def argmax(x):
    return x.argmax(-1)


def fixed_point(fn, x):
    """Apply fn until x no longer changes."""
    def body(state):
        x, _ = state
        new = fn(x)
        return new, (new != x).any()

    return lax.while_loop(lambda state: state[1], body, (x, jnp.bool_(True)))[0]


def grad_per_sample(loss_fn, params, x, y):
    """Step returning the gradient of loss_fn(params, x, y) for each sample."""
    fn = jax.jit(jax.vmap(jax.grad(loss_fn), in_axes=(None, 0, 0)))
    return lambda: fn(params, x, y)


def jacobian(fn, args):
    """Step returning, for each sample x, the jacobian of fn(*args[:-1], x) w.r.t. x."""
    axes = (None,) * (len(args) - 1) + (0,)
    run = jax.jit(jax.vmap(jax.jacrev(fn, argnums=len(args) - 1), in_axes=axes))
    return lambda: run(*args)
