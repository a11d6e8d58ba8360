"""Modules, initialisers and utilities on fixed inputs: cases for `parity`."""

from __future__ import annotations

import copy
import math
import pickle


def cases(torch):
    """(name, function) of every case."""
    nn = torch.nn
    for part in (activations, linear_and_conv, pooling_and_padding, norms, lookups, recurrent, attention, losses, inits,
                 module_protocol, errors, containers, hooks, utilities):
        yield from part(torch, nn)


def grid(torch, *shape):
    """Values from -1 to 1, not symmetric around any element."""
    n = math.prod(shape)
    return (torch.linspace(-1.0, 1.0, n) + 0.01 * torch.arange(n).remainder(7)).reshape(shape)


def classes(torch, n, *shape):
    return (torch.arange(math.prod(shape)) * 7 % n).reshape(shape)


def module_case(torch, make, *inputs, train=True, fixed=()):
    """What a module is when made, and what it gives: repr, state, output, gradients, state afterwards."""
    def case():
        module = make()
        module.train(train)
        described = repr(module)
        lazy = "Lazy" in described
        state = list(module.state_dict()) if lazy else {k: v.clone() for k, v in module.state_dict().items()}
        next_draw = torch.rand(2)
        args = [x.clone().requires_grad_() if isinstance(x, torch.Tensor) and x.is_floating_point() and i not in fixed
                else x for i, x in enumerate(inputs)]
        output = module(*args)
        first = output
        while not isinstance(first, torch.Tensor):
            first = first[0]
        grads = {}
        if first.requires_grad:
            (first * torch.linspace(0.5, 1.5, first.numel()).reshape(first.shape)).sum().backward()
            grads = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
            grads |= {i: x.grad for i, x in enumerate(args) if isinstance(x, torch.Tensor) and x.grad is not None}
        return {"repr": described, "state": state, "draw": next_draw, "output": output, "grads": grads,
                "after": dict(module.state_dict())}
    return case


def activations(torch, nn):
    x = grid(torch, 4, 6)
    for name in ("ReLU", "ReLU6", "Sigmoid", "Tanh", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "ELU", "CELU", "SELU",
                 "GELU", "GLU", "Hardshrink", "LeakyReLU", "LogSigmoid", "Softplus", "Softshrink", "PReLU", "Softsign",
                 "Tanhshrink", "Hardtanh", "Identity", "Flatten"):
        yield name, module_case(torch, getattr(nn, name), x)
    for name in ("Softmax", "LogSoftmax", "Softmin"):
        yield name, module_case(torch, lambda name=name: getattr(nn, name)(dim=1), x)
    yield "Softmax2d", module_case(torch, nn.Softmax2d, grid(torch, 2, 3, 4, 4))
    yield "Threshold", module_case(torch, lambda: nn.Threshold(0.1, 2.0), x)
    yield "ReLU inplace", module_case(torch, lambda: nn.ReLU(True), x, fixed=(0,))
    yield "GELU tanh", module_case(torch, lambda: nn.GELU("tanh"), x)
    yield "RReLU eval", module_case(torch, nn.RReLU, x, train=False)


def linear_and_conv(torch, nn):
    x = grid(torch, 4, 6)
    yield "Linear", module_case(torch, lambda: nn.Linear(6, 5), x)
    yield "Linear without bias", module_case(torch, lambda: nn.Linear(6, 5, bias=False), x)
    yield "Linear float64", module_case(torch, lambda: nn.Linear(6, 5, dtype=torch.float64), x.double())
    yield "LazyLinear", module_case(torch, lambda: nn.LazyLinear(5), x)
    yield "Bilinear", module_case(torch, lambda: nn.Bilinear(3, 4, 5), grid(torch, 2, 3), grid(torch, 2, 4))
    for d in (1, 2, 3):
        x = grid(torch, 2, 4, *(7, 6, 5)[:d])
        conv, transposed = getattr(nn, f"Conv{d}d"), getattr(nn, f"ConvTranspose{d}d")
        options = {"": {}, " strided": {"stride": 2, "padding": 1, "groups": 2, "bias": False},
                   " dilated": {"dilation": 2}, " same": {"padding": "same"}}
        options |= {f" {mode}": {"padding": 1, "padding_mode": mode} for mode in ("reflect", "replicate", "circular")}
        for label, kwargs in options.items():
            yield f"Conv{d}d{label}", module_case(torch, lambda c=conv, k=kwargs: c(4, 6, 2, **k), x)
        kwargs = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}
        yield f"ConvTranspose{d}d", module_case(torch, lambda c=transposed, k=kwargs: c(4, 6, 3, **k), x)
        yield f"LazyConv{d}d", module_case(torch, lambda d=d: getattr(nn, f"LazyConv{d}d")(6, 3), x)
        yield f"LazyConvTranspose{d}d", module_case(torch, lambda d=d: getattr(nn, f"LazyConvTranspose{d}d")(6, 3), x)
    yield "ConvTranspose2d output_size", lambda: nn.ConvTranspose2d(1, 1, 3, 2)(grid(torch, 1, 1, 4, 4),
                                                                                  output_size=[10, 10])


def pooling_and_padding(torch, nn):
    for d in (1, 2, 3):
        x = grid(torch, 2, 4, *(7, 6, 6)[:d])
        for name, args, kwargs in (
                ("MaxPool", (2,), {}), ("MaxPool", (3, 2, 1), {"return_indices": True, "ceil_mode": True}),
                ("AvgPool", (2,), {}), ("AvgPool", (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}),
                ("AdaptiveAvgPool", (3,), {}), ("AdaptiveMaxPool", (3,), {}), ("ReflectionPad", (2,), {}),
                ("ReplicationPad", (1,), {}), ("ZeroPad", (1,), {}), ("ConstantPad", (1, 2.5), {}),
                ("CircularPad", (1,), {})):
            make = getattr(nn, f"{name}{d}d")
            yield f"{name}{d}d {args} {kwargs}", module_case(torch, lambda m=make, a=args, k=kwargs: m(*a, **k), x)
        yield f"LPPool{d}d", module_case(torch, lambda d=d: getattr(nn, f"LPPool{d}d")(2.0, 2), x.abs() + 0.1)
        yield f"Dropout{d}d eval", module_case(torch, lambda d=d: getattr(nn, f"Dropout{d}d")(0.3), x, train=False)

        def unpool(d=d, x=x):
            even = x[:, :, :6]
            values, indices = getattr(nn, f"MaxPool{d}d")(2, return_indices=True)(even)
            module = getattr(nn, f"MaxUnpool{d}d")(2)
            return repr(module), module(values, indices)
        yield f"MaxUnpool{d}d", unpool
    x = grid(torch, 2, 4, 6, 6)
    for name, make in {
            "PixelShuffle": lambda: nn.PixelShuffle(2), "PixelUnshuffle": lambda: nn.PixelUnshuffle(2),
            "ChannelShuffle": lambda: nn.ChannelShuffle(2), "Upsample": lambda: nn.Upsample(scale_factor=2),
            "Upsample bilinear": lambda: nn.Upsample(size=9, mode="bilinear"),
            "Upsample bicubic": lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"),
            "UpsamplingBilinear2d": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
            "UpsamplingNearest2d": lambda: nn.UpsamplingNearest2d(size=(3, 9)),
            "Unflatten": lambda: nn.Unflatten(1, (2, 2)), "Unfold": lambda: nn.Unfold(3, padding=1),
            "Dropout of none": lambda: nn.Dropout(0.0)}.items():
        yield name, module_case(torch, make, x)
    yield "Fold", module_case(torch, lambda: nn.Fold(6, 3, padding=1), grid(torch, 2, 36, 36))
    a, b = grid(torch, 4, 6), grid(torch, 4, 6) ** 2
    yield "CosineSimilarity", module_case(torch, nn.CosineSimilarity, a, b)
    yield "PairwiseDistance", module_case(torch, nn.PairwiseDistance, a, b)
    yield "PairwiseDistance 1", module_case(torch, lambda: nn.PairwiseDistance(1, keepdim=True), a, b)


def norms(torch, nn):
    for d in (1, 2, 3):
        x = (grid(torch, 3, 4, *(5, 6, 2)[:d]) * 50).sin()
        batch, instance = getattr(nn, f"BatchNorm{d}d"), getattr(nn, f"InstanceNorm{d}d")
        yield f"BatchNorm{d}d", module_case(torch, lambda m=batch: m(4), x)
        yield f"BatchNorm{d}d cumulative", module_case(torch, lambda m=batch: m(4, momentum=None, affine=False), x)
        yield f"BatchNorm{d}d eval", module_case(torch, lambda m=batch: m(4, bias=False), x, train=False)
        yield f"LazyBatchNorm{d}d", module_case(torch, getattr(nn, f"LazyBatchNorm{d}d"), x)
        yield f"InstanceNorm{d}d", module_case(torch, lambda m=instance: m(4), x)
        yield f"InstanceNorm{d}d stats", module_case(
            torch, lambda m=instance: m(4, affine=True, track_running_stats=True), x)
        yield f"LazyInstanceNorm{d}d", module_case(torch, getattr(nn, f"LazyInstanceNorm{d}d"), x)
    x = (grid(torch, 2, 4, 6, 6) * 20).sin()
    for name, make in {"LayerNorm": lambda: nn.LayerNorm(6), "LayerNorm 2": lambda: nn.LayerNorm([6, 6], bias=False),
                       "GroupNorm": lambda: nn.GroupNorm(2, 4), "RMSNorm": lambda: nn.RMSNorm(6),
                       "GroupNorm without bias": lambda: nn.GroupNorm(2, 4, bias=False),
                       "LocalResponseNorm": lambda: nn.LocalResponseNorm(2)}.items():
        yield name, module_case(torch, make, x)


def lookups(torch, nn):
    index = classes(torch, 10, 4, 5)
    yield "Embedding", module_case(torch, lambda: nn.Embedding(10, 3, padding_idx=2), index)
    yield "Embedding max_norm", module_case(
        torch, lambda: nn.Embedding(10, 3, max_norm=1.0, scale_grad_by_freq=True), index)
    yield "EmbeddingBag 2-D", module_case(torch, lambda: nn.EmbeddingBag(10, 3, padding_idx=1), index)
    for mode in ("sum", "mean", "max"):
        yield f"EmbeddingBag {mode}", module_case(torch, lambda mode=mode: nn.EmbeddingBag(10, 3, mode=mode),
                                                    classes(torch, 10, 12), torch.tensor([0, 4, 9]))
    yield "AdaptiveLogSoftmaxWithLoss", module_case(
        torch, lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10], div_value=2.0), grid(torch, 6, 8),
        classes(torch, 20, 6))


def recurrent(torch, nn):
    rnn = nn.utils.rnn
    for name in ("RNN", "LSTM", "GRU"):
        layer, cell = getattr(nn, name), getattr(nn, name + "Cell")
        for kwargs in ({}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}):
            yield f"{name} {kwargs}", module_case(torch, lambda m=layer, k=kwargs: m(4, 3, **k), grid(torch, 5, 3, 4))
        yield f"{name} unbatched", module_case(torch, lambda m=layer: m(4, 3, 2), grid(torch, 5, 4))
        h = grid(torch, 2, 2, 3)
        yield f"{name} state", module_case(torch, lambda m=layer: m(4, 3, 2), grid(torch, 5, 2, 4),
                                           (h, h * 0.5) if name == "LSTM" else h)
        yield f"{name}Cell", module_case(torch, lambda m=cell: m(4, 3), grid(torch, 2, 4))
        yield f"{name}Cell unbatched", module_case(torch, lambda m=cell: m(4, 3, bias=False), grid(torch, 4))
        for kwargs in ({}, {"num_layers": 2, "bidirectional": True, "batch_first": True}):
            def packed(layer=layer, kwargs=kwargs):
                module, first = layer(4, 3, **kwargs), kwargs.get("batch_first", False)
                x = grid(torch, 5, 3, 4)
                p = rnn.pack_padded_sequence(x.transpose(0, 1) if first else x, [2, 5, 3], first, enforce_sorted=False)
                output, state = module(p)
                padded, lengths = rnn.pad_packed_sequence(output, first, total_length=6)
                (padded * torch.linspace(0, 1, padded.numel()).reshape(padded.shape)).sum().backward()
                return padded, lengths, state, list(p), [q.grad for q in module.parameters()]
            yield f"{name} packed {kwargs}", packed
    yield "RNN relu", module_case(torch, lambda: nn.RNN(4, 3, 2, "relu"), grid(torch, 5, 2, 4))
    yield "LSTM proj_size", module_case(torch, lambda: nn.LSTM(4, 5, 2, proj_size=2, bidirectional=True),
                                        grid(torch, 5, 2, 4))
    parts = [grid(torch, n, 2) for n in (3, 5, 1)]
    for side in ("left", "right"):
        for first in (False, True):
            yield f"pad_sequence {side} {first}", lambda side=side, first=first: rnn.pad_sequence(
                parts, first, padding_value=7.0, padding_side=side)
    yield "pack_sequence", lambda: list(rnn.pack_sequence(parts, enforce_sorted=False))
    yield "unpack_sequence", lambda: rnn.unpack_sequence(rnn.pack_sequence(parts, enforce_sorted=False))
    yield "unpad_sequence", lambda: rnn.unpad_sequence(grid(torch, 5, 3, 2), torch.tensor([2, 5, 3]))
    yield "PackedSequence repr", lambda: repr(rnn.pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4, 5])]))
    yield "pack unsorted", lambda: rnn.pack_padded_sequence(grid(torch, 5, 3, 2), [2, 5, 3])


def attention(torch, nn):
    class With(nn.Module):
        """Passes keyword arguments on."""

        def __init__(self, module, **kwargs):
            super().__init__()
            self.module, self.kwargs = module, kwargs

        def forward(self, *args):
            return self.module(*args, **self.kwargs)

    q, k, v = grid(torch, 5, 2, 8), grid(torch, 4, 2, 8) ** 2, grid(torch, 4, 2, 8) * 0.3
    padding = torch.tensor([[False, False, False, True], [False, True, True, True]])
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    mha = nn.MultiheadAttention
    yield "MultiheadAttention", module_case(torch, lambda: mha(8, 2), q, k, v)
    yield "MultiheadAttention self", module_case(torch, lambda: mha(8, 2, batch_first=True), q, q, q)
    yield "MultiheadAttention kdim", module_case(
        torch, lambda: mha(8, 2, kdim=6, vdim=7, add_bias_kv=True, add_zero_attn=True), q, grid(torch, 4, 2, 6),
        grid(torch, 4, 2, 7))
    yield "MultiheadAttention padding", module_case(
        torch, lambda: With(mha(8, 2), key_padding_mask=padding, need_weights=False), q, k, v)
    yield "MultiheadAttention mask", module_case(
        torch, lambda: With(mha(8, 2), attn_mask=torch.ones(5, 4).triu(1).bool(), average_attn_weights=False), q, k, v)
    yield "MultiheadAttention unbatched", module_case(torch, lambda: mha(8, 2), q[:, 0], k[:, 0], v[:, 0])
    yield "MultiheadAttention causal", module_case(
        torch, lambda: With(mha(8, 2), attn_mask=causal, is_causal=True, need_weights=False), q, q, q)
    for kwargs in ({}, {"norm_first": True, "activation": "gelu", "batch_first": True}, {"bias": False}):
        made = {"dropout": 0.0, **kwargs}
        yield f"TransformerEncoderLayer {kwargs}", module_case(
            torch, lambda k=made: nn.TransformerEncoderLayer(8, 2, 16, **k), q)
        yield f"TransformerDecoderLayer {kwargs}", module_case(
            torch, lambda k=made: nn.TransformerDecoderLayer(8, 2, 16, **k), q, q * 0.5)
        yield f"Transformer {kwargs}", module_case(torch, lambda k=made: nn.Transformer(8, 2, 2, 2, 16, **k), q, q * 0.5)

    def encoder(**kwargs):
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, **kwargs), 2, nn.LayerNorm(8))

    yield "TransformerEncoder", module_case(torch, encoder, q, causal, fixed=(1,))
    yield "TransformerEncoder eval", module_case(
        torch, lambda: With(encoder(batch_first=True), src_key_padding_mask=padding), grid(torch, 2, 4, 8), train=False)

    def without_grad():
        with torch.no_grad():
            return encoder(batch_first=True).eval()(grid(torch, 2, 4, 8), src_key_padding_mask=padding)
    yield "TransformerEncoder no_grad", without_grad


def losses(torch, nn):
    a, b = grid(torch, 4, 6), grid(torch, 4, 6) ** 2
    target, sign = classes(torch, 6, 4), torch.tensor([1, -1, 1, -1.0])
    signs, weight = sign[:, None].expand(4, 6).contiguous(), torch.linspace(0.5, 1, 6)
    probability = (b * 0.85 + 0.05).clamp(0, 1)
    for name, args, kwargs in (
            ("L1Loss", (a, b), {}), ("MSELoss", (a, b), {}), ("SmoothL1Loss", (a, b), {"beta": 0.5}),
            ("HuberLoss", (a, b), {"delta": 0.5}), ("NLLLoss", (a, target), {"weight": weight}),
            ("CrossEntropyLoss", (a, target), {"label_smoothing": 0.1}),
            ("CrossEntropyLoss", (a, target), {"ignore_index": 1, "weight": weight}),
            ("CrossEntropyLoss", (a, torch.softmax(b, 1)), {}), ("PoissonNLLLoss", (a, b), {"full": True}),
            ("GaussianNLLLoss", (a, b, b + 0.1), {}), ("KLDivLoss", (a, probability), {}),
            ("BCELoss", (probability, b.clamp(0, 1)), {}), ("BCEWithLogitsLoss", (a, b), {"pos_weight": weight}),
            ("HingeEmbeddingLoss", (a, signs), {}),
            ("MultiLabelMarginLoss", (a, torch.tensor([[1, 2, -1, 0, 0, 0]] * 4)), {}),
            ("SoftMarginLoss", (a, signs), {}), ("MultiLabelSoftMarginLoss", (a, (b > 0.3).float()), {}),
            ("CosineEmbeddingLoss", (a, b, sign), {"margin": 0.1}), ("MarginRankingLoss", (a, b, signs), {"margin": 0.1}),
            ("MultiMarginLoss", (a, target), {"p": 2}), ("TripletMarginLoss", (a, b, -b), {"swap": True}),
            ("TripletMarginWithDistanceLoss", (a, b, -b), {}),
            ("CTCLoss", (torch.log_softmax(grid(torch, 6, 2, 5), 2), torch.tensor([[1, 2, 3], [2, 1, 4]]),
                         torch.tensor([6, 5]), torch.tensor([3, 2])), {})):
        for reduction in ("mean", "sum", "none"):
            fixed = (len(args) - 1,) if name != "GaussianNLLLoss" else ()
            make = getattr(nn, name)
            yield (f"{name} {sorted(kwargs)} {reduction} {len(args[-1].shape)}", module_case(
                torch, lambda m=make, k=kwargs, r=reduction: m(reduction=r, **k), *args, fixed=fixed))
    yield "L1Loss size_average", module_case(torch, lambda: nn.L1Loss(size_average=False), a, b)


def inits(torch, nn):
    init = nn.init
    for name, fill in {
            "uniform_": lambda t: init.uniform_(t, -1, 2), "normal_": lambda t: init.normal_(t, 1, 2),
            "trunc_normal_": lambda t: init.trunc_normal_(t, std=0.5, a=-1, b=0.7),
            "trunc_normal_ narrow": lambda t: init.trunc_normal_(t, a=0.2, b=0.6),
            "trunc_normal_ tail": lambda t: init.trunc_normal_(t, a=3.0, b=3.5),
            "xavier_uniform_": lambda t: init.xavier_uniform_(t, 2.0), "xavier_normal_": init.xavier_normal_,
            "kaiming_uniform_": lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"),
            "kaiming_normal_": lambda t: init.kaiming_normal_(t, 0.2),
            "orthogonal_": lambda t: init.orthogonal_(t, 1.5), "sparse_": lambda t: init.sparse_(t, 0.4),
            "eye_": init.eye_, "constant_": lambda t: init.constant_(t, 3.0), "uniform": init.uniform}.items():
        for shape in ((5, 7), (7, 5), (20, 31)):
            yield f"init.{name} {shape}", lambda fill=fill, shape=shape: fill(torch.empty(shape))
    yield "init.dirac_", lambda: [init.dirac_(torch.empty(6, 3, 3, 3), groups=2), init.dirac_(torch.empty(6, 3, 3))]
    for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv2d", "foo"):
        yield f"init.calculate_gain {name}", lambda name=name: init.calculate_gain(name)
    yield "init of a vector", lambda: init.kaiming_uniform_(torch.empty(3))
    yield "init with a wrong mode", lambda: init.kaiming_uniform_(torch.empty(3, 3), mode="x")
    yield "init of nothing", lambda: init.kaiming_uniform_(torch.empty(0, 3))


def small(nn):
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def module_protocol(torch, nn):
    def names():
        m = small(nn)
        return ([n for n, _ in m.named_parameters("x")], [n for n, _ in m.named_buffers()],
                [n for n, _ in m.named_modules()], list(m.state_dict(prefix="x.")), dict(m.state_dict()._metadata))

    def conversions():
        m = small(nn)
        weight = m[0].weight
        seen = []
        for convert in (m.double, m.half, m.float, m.bfloat16):
            convert()
            seen.append([str(v.dtype) for v in m.state_dict().values()])
        m.to("cpu", torch.float32).requires_grad_(False)
        return seen, weight is m[0].weight, weight.requires_grad

    def copies():
        m = small(nn)
        n = copy.deepcopy(m)
        n[0].weight.data.zero_()
        return m[0].weight, type(n[0].weight).__name__, n[0].weight.requires_grad

    def pickled():
        m = nn.LSTM(2, 3)
        n = pickle.loads(pickle.dumps(m))
        return list(n.parameters()), repr(n), n(grid(torch, 2, 2, 2))[0]

    def buffers():
        class Holder(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Buffer(grid(torch, 2))
                self.b = nn.Buffer(grid(torch, 2), persistent=False)
                self.register_buffer("c", None)
        h = Holder()
        seen = [list(h.state_dict()), [n for n, _ in h.named_buffers()], isinstance(h.a, nn.Buffer)]
        h.c = grid(torch, 1)
        del h.a
        return seen, list(h.state_dict())

    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = 5

        def get_extra_state(self):
            return {"x": self.x}

        def set_extra_state(self, state):
            self.x = state["x"]

    def extra_state():
        a, b = Extra(), Extra()
        a.x = 7
        b.load_state_dict(a.state_dict())
        return b.x, list(a.state_dict())

    def assigned():
        m = small(nn)
        given = {k: v.clone() for k, v in m.state_dict().items()}
        return repr(m.load_state_dict(given, assign=True)), type(m[0].weight).__name__, m[0].weight.requires_grad

    def shared():
        m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        m[1].weight = m[0].weight
        return len(list(m.parameters())), [n for n, _ in m.named_parameters(remove_duplicate=False)]

    yield from {
        "names": names, "conversions": conversions, "deepcopy": copies, "pickle": pickled, "buffers": buffers,
        "extra state": extra_state, "extra state missing": lambda: Extra().load_state_dict({}), "assign": assigned,
        "shared parameters": shared, "Parameter repr": lambda: repr(nn.Parameter(grid(torch, 3))),
        "load": lambda: repr(small(nn).load_state_dict(small(nn).state_dict())),
        "load not strict": lambda: repr(small(nn).load_state_dict({"foo": grid(torch, 1)}, strict=False)),
        "lazy": lambda: (repr(nn.LazyLinear(3)), list(nn.LazyLinear(3).state_dict()), repr(nn.UninitializedParameter())),
    }.items()


def errors(torch, nn):
    """Wrong use: the class of the exception and the start of its message are PyTorch's."""
    def x(*shape):
        return grid(torch, *shape)

    def state(**changes):
        return {**small(nn).state_dict(), **changes}

    def subclass(**attributes):
        return type("C", (nn.Module,), {"__init__": lambda self: [setattr(self, k, v) for k, v in attributes.items()]})

    yield from {
        "no forward": lambda: nn.Module()(1), "no such argument": lambda: nn.Module(3),
        "conv groups": lambda: nn.Conv2d(3, 4, 3, groups=2),
        "conv same strided": lambda: nn.Conv2d(3, 4, 3, padding="same", stride=2),
        "transposed padding_mode": lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"),
        "transposed output_size": lambda: nn.ConvTranspose2d(1, 1, 3, 2)(x(1, 1, 4, 4), output_size=[3, 3]),
        "batch norm rank": lambda: nn.BatchNorm2d(3)(x(2, 3)), "dropout p": lambda: nn.Dropout(2.0),
        "group norm groups": lambda: nn.GroupNorm(3, 4), "lstm input": lambda: nn.LSTM(3, 4)(x(2, 3, 5)),
        "lstm hidden_size": lambda: nn.LSTM(3, 0), "gru proj_size": lambda: nn.GRU(3, 4, proj_size=2),
        "lstm state": lambda: nn.LSTM(3, 4)(x(2, 2, 3), (x(1, 3, 4), x(1, 3, 4))),
        "lstm dtype": lambda: nn.LSTM(3, 4)(x(2, 2, 3).double()), "gru rank": lambda: nn.GRU(3, 4)(x(3)),
        "lstm state rank": lambda: nn.LSTM(3, 4)(x(2, 3), (x(1, 1, 4), x(1, 1, 4))),
        "cell input": lambda: nn.LSTMCell(3, 4)(x(2, 5)), "attention heads": lambda: nn.MultiheadAttention(5, 2),
        "embedding padding_idx": lambda: nn.Embedding(3, 2, padding_idx=5), "hardtanh": lambda: nn.Hardtanh(2, 1),
        "unflatten": lambda: nn.Unflatten(1, [2.0, 3]), "linear shape": lambda: nn.Linear(3, 4)(x(2, 5)),
        "train mode": lambda: nn.Linear(1, 1).train(3), "to an int dtype": lambda: nn.Linear(1, 1).to(torch.int32),
        "lazy shape": lambda: nn.UninitializedParameter().shape,
        "missing keys": lambda: small(nn).load_state_dict({}),
        "unexpected keys": lambda: small(nn).load_state_dict(state(**{"foo": x(1), "0.bar": x(1), "0.weight.x": x(1)})),
        "wrong shape": lambda: small(nn).load_state_dict(state(**{"0.weight": x(3, 3)})),
        "no tensor": lambda: small(nn).load_state_dict(state(**{"0.weight": 3})).__str__(),
        "no dict": lambda: small(nn).load_state_dict(3),
        "set parameter": lambda: setattr(nn.Linear(1, 1), "weight", x(3)),
        "set module": lambda: setattr(small(nn), "0", 3),
        "set buffer": lambda: setattr(nn.BatchNorm1d(1), "running_mean", 3),
        "buffer name with dot": lambda: nn.Module().register_buffer("a.b", x(1)),
        "buffer without name": lambda: nn.Module().register_buffer("", x(1)),
        "name taken": lambda: nn.Module().register_buffer("training", x(1)),
        "no parameter": lambda: nn.Module().register_parameter("p", x(1)),
        "no leaf": lambda: nn.Module().register_parameter("p", nn.Parameter(x(2)) * 2),
        "no module": lambda: nn.Module().add_module("x", 3),
        "module name with dot": lambda: nn.Module().add_module("a.b", nn.ReLU()),
        "no attribute": lambda: small(nn).foo, "no submodule": lambda: small(nn).get_submodule("0.foo"),
        "no module there": lambda: small(nn).get_submodule("0.weight"),
        "no parameter there": lambda: small(nn).get_parameter("1.running_mean"),
        "no buffer there": lambda: small(nn).get_buffer("0.weight"),
        "module before init": lambda: subclass(x=nn.Linear(1, 1))(),
        "parameter before init": lambda: subclass(x=nn.Parameter(x(1)))(),
        "parametrize": lambda: nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "foo", nn.ReLU()),
        "functional_call": lambda: nn.utils.stateless._functional_call(nn.Linear(2, 3), {"weigh": x(1)}, (x(1, 2),),
                                                                       strict=True),
        "fraction of index": lambda: nn.Sequential(nn.ReLU())[5], "sequential + int": lambda: nn.Sequential() + 3,
        "list index": lambda: nn.ModuleList([nn.ReLU()])[3], "list extend": lambda: nn.ModuleList().extend(3),
        "dict of int": lambda: nn.ModuleDict(3), "dict of singles": lambda: nn.ModuleDict([("a",)]),
        "call of parameters": lambda: nn.ParameterList()(1),
    }.items()


def containers(torch, nn):
    def lists():
        m = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        m.insert(1, nn.ELU())
        m.append(nn.GELU())
        del m[0]
        m += [nn.SELU()]
        popped = m.pop(1)
        return repr(m), repr(popped), repr(m[-1]), len(m), repr(m[1:]), repr(m + [nn.ReLU()])

    def sequences():
        m = small(nn)
        m.insert(1, nn.ReLU())
        m.append(nn.Tanh())
        del m[0]
        return repr(m), repr(m[:1]), repr(m + m), repr(m * 2), len(m)

    x = grid(torch, 2, 3)
    yield from {
        "ModuleList": lists, "Sequential": sequences,
        "ModuleList repr": lambda: repr(nn.ModuleList(
            [nn.Linear(2, 2) for _ in range(3)] + [nn.ReLU()]
            + [nn.Sequential(nn.Linear(1, 2), nn.ReLU()) for _ in range(2)])),
        "empty": lambda: repr(nn.ModuleList()) + repr(nn.Sequential()) + repr(nn.ModuleDict()),
        "ModuleDict": lambda: repr(nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 2)})),
        "ParameterList": lambda: repr(nn.ParameterList([x, 3, nn.Parameter(x[0]), "x"])),
        "ParameterDict": lambda: repr(nn.ParameterDict({"b": x, "a": 3})),
        "ParameterDict state": lambda: list(nn.ParameterDict({"b": x, "a": x[0]}).state_dict()),
    }.items()


def hooks(torch, nn):
    def forward_and_backward():
        log = []
        m = nn.Sequential(nn.Linear(2, 3), nn.ReLU())

        def pre(module, args):
            log.append("pre")
            return (args[0] * 2,)

        def backward(module, grad_input, grad_output):
            log.append([grad_input, grad_output])
            return (grad_input[0] * 2,)

        m.register_forward_pre_hook(pre)
        m.register_forward_hook(lambda module, args, output: output + 1)
        m[0].register_forward_hook(lambda module, args, kwargs, output: log.append(sorted(kwargs)), with_kwargs=True)
        m.register_full_backward_pre_hook(lambda module, grad_output: log.append(grad_output))
        m[0].register_full_backward_hook(backward)
        m.register_forward_hook(lambda *args: log.append("removed")).remove()
        x = grid(torch, 4, 2).requires_grad_()
        output = m(x)
        output.sum().backward()
        return log, output, x.grad, m[0].weight.grad

    def without_input_grad():
        log = []
        m = nn.Linear(2, 3)
        m.register_full_backward_hook(lambda module, grad_input, grad_output: log.append([grad_input, grad_output]))
        m(grid(torch, 4, 2)).sum().backward()
        return log

    def always():
        log = []
        m = nn.Linear(2, 3)
        m.register_forward_hook(lambda *args: log.append("always"), always_call=True)
        try:
            m(grid(torch, 4, 5))
        except RuntimeError:
            log.append("raised")
        return log

    def everywhere():
        log = []
        with nn.modules.module.register_module_forward_hook(lambda m, a, o: log.append(type(m).__name__)):
            nn.Sequential(nn.Linear(2, 2), nn.ReLU())(grid(torch, 1, 2))
        nn.ReLU()(grid(torch, 1))
        return log

    def of_state():
        log = []
        m = nn.Linear(2, 3)
        m.register_state_dict_pre_hook(lambda module, prefix, keep_vars: log.append([prefix, keep_vars]))
        m.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update({"x": 3}))
        m.register_load_state_dict_pre_hook(lambda module, state, *args: state.pop("x"))
        m.register_load_state_dict_post_hook(lambda module, keys: log.append(repr(keys)))
        state = m.state_dict()
        m.load_state_dict(state)
        return log, list(state)

    def wrong():
        m = nn.Linear(2, 3)
        m.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
        m(grid(torch, 1, 2))

    yield from {"hooks": forward_and_backward, "hooks without input gradient": without_input_grad,
                "hooks always": always, "hooks everywhere": everywhere, "hooks of state": of_state,
                "hooks wrong": wrong}.items()


def utilities(torch, nn):
    utils = nn.utils

    def clipping():
        seen = []
        for norm in (2.0, 1.0, float("inf"), 3.0):
            ps = [nn.Parameter(grid(torch, 3, 2)), nn.Parameter(grid(torch, 4))]
            for p in ps:
                p.grad = p.detach() * 3
            seen.append([utils.clip_grad_norm_(ps, 1.0, norm), [p.grad for p in ps]])
        utils.clip_grad_value_(ps, 0.1)
        return seen, [p.grad for p in ps], utils.get_total_norm([p.grad for p in ps])

    def not_finite():
        p = nn.Parameter(grid(torch, 3))
        p.grad = grid(torch, 3) / 0
        utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)

    def vectors():
        m = nn.Linear(2, 3)
        v = utils.parameters_to_vector(m.parameters())
        utils.vector_to_parameters(v * 2, m.parameters())
        return v, list(m.parameters())

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    def functional_call():
        m = small(nn)
        given = {k: v.detach().clone() * 2 for k, v in m.state_dict().items()}
        return utils.stateless._functional_call(m, given, (grid(torch, 4, 2),)), list(m.parameters()), given

    def fused():
        conv, norm = nn.Conv2d(2, 3, 3).eval(), nn.BatchNorm2d(3).eval()
        norm.running_mean.copy_(grid(torch, 3))
        norm.running_var.copy_(grid(torch, 3) ** 2 + 0.5)
        return utils.fusion.fuse_conv_bn_eval(conv, norm)(grid(torch, 1, 2, 4, 4))

    x, image = grid(torch, 2, 3), grid(torch, 1, 2, 4, 4)
    register, linear = utils.parametrize.register_parametrization, (lambda: nn.Linear(3, 3))
    yield from {
        "clip_grad": clipping, "clip_grad not finite": not_finite, "parameters_to_vector": vectors,
        "functional_call tensors": functional_call, "fuse_conv_bn": fused,
        "spectral_norm": module_case(torch, lambda: utils.spectral_norm(linear()), x),
        "spectral_norm transposed": module_case(
            torch, lambda: utils.spectral_norm(nn.ConvTranspose2d(2, 4, 3)), image, train=False),
        "spectral_norm removed": module_case(
            torch, lambda: utils.remove_spectral_norm(utils.spectral_norm(linear())), x),
        "weight_norm removed": module_case(torch, lambda: utils.remove_weight_norm(utils.weight_norm(linear())), x),
        "parametrizations.spectral_norm": module_case(
            torch, lambda: utils.parametrizations.spectral_norm(nn.Conv2d(2, 4, 3)), image),
        "parametrize": module_case(torch, lambda: register(linear(), "weight", Symmetric()), x),
        "parametrize removed": module_case(
            torch, lambda: utils.parametrize.remove_parametrizations(register(linear(), "weight", Symmetric()),
                                                                     "weight"), x),
        "gumbel_softmax": lambda: nn.functional.gumbel_softmax(grid(torch, 3, 4), hard=True),
    }.items()
    for dim in (0, 1, None):
        yield f"weight_norm {dim}", module_case(torch, lambda dim=dim: utils.weight_norm(linear(), dim=dim), x)
        yield f"parametrizations.weight_norm {dim}", module_case(
            torch, lambda dim=dim: utils.parametrizations.weight_norm(linear(), dim=dim), x)
