"""What is asked of distributions, transforms and constraints, as pairs of a name and a function. The same for PyTorch, whose
answers `record.py` writes down, and for diya."""

SHAPES = (), (3,), (7, 3)


def distributions(torch):
    """Instances by class, and a value for each class."""
    D = torch.distributions

    def p(*values):
        return torch.tensor(values, dtype=torch.float64)
    u, v, w, vec = p(0.3, 0.8), p(1.5, 0.7), p([0.2, 0.3, 0.5], [0.1, 0.6, 0.3]), p(0.1, -0.4, 1.2)
    matrix = p([2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0])
    lower, thin = torch.linalg.cholesky(matrix), p([1.0, 0.2], [0.3, 0.4], [0.0, 1.0])
    two, zero_one, one = torch.stack([vec, vec + 1]), p(0.0, 1.0), p(1.0)[0]
    return {
        "Bernoulli": ([lambda: D.Bernoulli(u), lambda: D.Bernoulli(logits=p(-1.0, 2.0))], zero_one),
        "Beta": ([lambda: D.Beta(v, u)], p(0.2, 0.7)),
        "Binomial": ([lambda: D.Binomial(5, u), lambda: D.Binomial(40, logits=p(-1.0, 2.0))], p(2.0, 5.0)),
        "Categorical": ([lambda: D.Categorical(w), lambda: D.Categorical(logits=w.log() + 1)], p(2.0, 0.0)),
        "Cauchy": ([lambda: D.Cauchy(u, v)], p(0.2, -3.0)),
        "Chi2": ([lambda: D.Chi2(v)], p(0.2, 3.0)),
        "ContinuousBernoulli": ([lambda: D.ContinuousBernoulli(u), lambda: D.ContinuousBernoulli(p(0.5, 0.4999)),
                                 lambda: D.ContinuousBernoulli(logits=p(0.5, -2))], p(0.2, 0.9)),
        "Dirichlet": ([lambda: D.Dirichlet(p([0.5, 2, 3], [1, 1, 1.5])), lambda: D.Dirichlet(p(0.5, 0.2, 0.3))], w),
        "Exponential": ([lambda: D.Exponential(v)], p(0.2, 3.0)),
        "FisherSnedecor": ([lambda: D.FisherSnedecor(v, u), lambda: D.FisherSnedecor(p(5.0, 7.0), p(6.0, 3.0))], p(0.2, 3.0)),
        "Gamma": ([lambda: D.Gamma(v, u)], p(0.2, 3.0)),
        "Geometric": ([lambda: D.Geometric(u), lambda: D.Geometric(logits=p(-1.0, 2.0))], p(2.0, 0.0)),
        "Gumbel": ([lambda: D.Gumbel(u, v)], p(0.2, -3.0)),
        "HalfCauchy": ([lambda: D.HalfCauchy(v)], p(0.2, 3.0)),
        "HalfNormal": ([lambda: D.HalfNormal(v)], p(0.2, 3.0)),
        "Independent": ([lambda: D.Independent(D.Normal(w, w + 0.1), 1), lambda: D.Independent(D.Bernoulli(w), 2)], w.round()),
        "InverseGamma": ([lambda: D.InverseGamma(v, u), lambda: D.InverseGamma(p(3.0, 4.0), u)], p(0.2, 3.0)),
        "Kumaraswamy": ([lambda: D.Kumaraswamy(v, u)], p(0.2, 0.7)),
        "LKJCholesky": ([lambda: D.LKJCholesky(3, v)], torch.stack([torch.eye(3, dtype=torch.float64)] * 2)),
        "Laplace": ([lambda: D.Laplace(u, v)], p(0.2, -3.0)),
        "LogNormal": ([lambda: D.LogNormal(u, v)], p(0.2, 3.0)),
        "LogisticNormal": ([lambda: D.LogisticNormal(p(0.1, 0.2), p(1.0, 0.5)),
                            lambda: D.LogisticNormal(w[:, :2], w[:, :2] + 0.1)], w),
        "LowRankMultivariateNormal": ([lambda: D.LowRankMultivariateNormal(vec, thin, p(0.5, 1.0, 2.0)),
                                       lambda: D.LowRankMultivariateNormal(two, thin, p(0.5, 1.0, 2.0))], two),
        "MixtureSameFamily": ([lambda: D.MixtureSameFamily(D.Categorical(w), D.Normal(w, w + 0.5))], p(0.2, 3.0)),
        "MixtureSameFamily of vectors": (
            [lambda: D.MixtureSameFamily(D.Categorical(p(0.4, 0.6)), D.MultivariateNormal(two, matrix)),
             lambda: D.MixtureSameFamily(D.Categorical(w), D.Independent(D.Normal(
                 torch.ones(2, 3, 3, dtype=torch.float64), v[0]), 1))], two),
        "Multinomial": ([lambda: D.Multinomial(5, w), lambda: D.Multinomial(3, logits=w)], p([1.0, 2, 0], [0, 0, 3])),
        "MultivariateNormal": ([lambda: D.MultivariateNormal(vec, matrix),
                                lambda: D.MultivariateNormal(vec, precision_matrix=matrix),
                                lambda: D.MultivariateNormal(two, scale_tril=lower)], two),
        "NegativeBinomial": ([lambda: D.NegativeBinomial(5, u), lambda: D.NegativeBinomial(p(2.5, 0.0), logits=p(-1.0, 2.0))],
                             p(2.0, 0.0)),
        "Normal": ([lambda: D.Normal(u, v), lambda: D.Normal(w, w + 0.1)], p([0.2], [-3.0])),
        "OneHotCategorical": ([lambda: D.OneHotCategorical(w), lambda: D.OneHotCategorical(logits=w[0])],
                              p([0.0, 1, 0], [0, 0, 1])),
        "OneHotCategoricalStraightThrough": ([lambda: D.OneHotCategoricalStraightThrough(w)], p([0.0, 1, 0], [0, 0, 1])),
        "Pareto": ([lambda: D.Pareto(v, u), lambda: D.Pareto(u, p(3.0, 2.5))], p(1.9, 3.0)),
        "Poisson": ([lambda: D.Poisson(v), lambda: D.Poisson(p(30.0, 11.0))], p(2.0, 0.0)),
        "RelaxedBernoulli": ([lambda: D.RelaxedBernoulli(one * 0.7, u), lambda: D.RelaxedBernoulli(one * 0.7, logits=u)],
                             p(0.2, 0.7)),
        "RelaxedOneHotCategorical": ([lambda: D.RelaxedOneHotCategorical(one * 0.7, w),
                                      lambda: D.RelaxedOneHotCategorical(one * 0.7, logits=w)], w),
        "StudentT": ([lambda: D.StudentT(v * 2, u, v), lambda: D.StudentT(p(0.5, 1.5))], p(0.2, -3.0)),
        "TransformedDistribution": ([lambda: D.TransformedDistribution(D.Normal(u, v), [D.TanhTransform()]),
                                     lambda: D.TransformedDistribution(D.Uniform(zero_one * 0, zero_one * 0 + 1), [
                                         D.SigmoidTransform().inv, D.AffineTransform(u, v)]),
                                     lambda: D.TransformedDistribution(D.Normal(w * 0, 1.0), D.StickBreakingTransform())],
                                    p(0.2, 0.7)),
        "Uniform": ([lambda: D.Uniform(u - 1, v)], p(0.2, 0.6)),
        "VonMises": ([lambda: D.VonMises(u, v), lambda: D.VonMises(u, p(9.0, 0.001))], p(0.2, -3.0)),
        "Weibull": ([lambda: D.Weibull(u, v)], p(0.2, 3.0)),
        "Wishart": ([lambda: D.Wishart(5.0, matrix), lambda: D.Wishart(p(4.5, 6.0), scale_tril=lower)],
                    torch.stack([matrix, matrix + torch.eye(3, dtype=torch.float64)])),
    }


def members(torch):
    """Densities, moments, samples and shapes of all of them."""
    for name, (makers, value) in distributions(torch).items():
        for i, make in enumerate(makers):
            yield from ((f"{name} {i} {what}", function) for what, function in _members(torch, make(), value))


def _members(torch, d, value):
    def seeded(seed, function):
        torch.manual_seed(seed)
        return function()

    def expanded():
        e = d.expand((2, *d.batch_shape))
        return [repr(e), list(e.batch_shape), seeded(6, lambda: e.sample((2,)))]
    yield "repr", lambda: repr(d)
    yield "shapes", lambda: [list(d.batch_shape), list(d.event_shape), bool(d.has_rsample), bool(d.has_enumerate_support)]
    yield "support", lambda: [type(d.support).__name__, d.support.event_dim, bool(d.support.is_discrete)]
    yield "arg_constraints", lambda: repr(sorted(d.arg_constraints.items(), key=str))
    for moment in ("mean", "variance", "stddev", "mode"):
        yield moment, lambda moment=moment: getattr(d, moment)
    yield "entropy", d.entropy
    yield "enumerate_support", d.enumerate_support
    yield "icdf", lambda: d.icdf(torch.tensor([0.2, 0.7], dtype=torch.float64))
    for function in (d.log_prob, d.cdf):
        what = function.__name__
        yield what, lambda function=function: function(value)
        yield what + " of NaN", lambda function=function: function(value * float("nan"))
        yield what + " of another shape", lambda function=function: function(value.new_ones(7, 5))
    for shape in SHAPES:
        yield f"sample {shape}", lambda shape=shape: seeded(3, lambda: d.sample(shape))
        yield f"rsample {shape}", lambda shape=shape: seeded(4, lambda: d.rsample(shape))
    yield "expand", expanded


def divergences(torch):
    """KL of all pairs of classes, with a rule or without."""
    D = torch.distributions

    def p(*values):
        return torch.tensor(values, dtype=torch.float64)
    matrix, thin = p([2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0]), p([1.0, 0.2], [0.3, 0.4], [0.0, 1.0])
    real = p(0.3, 0.8), p(1.0, 2.0)
    other = p(1.3, -0.8), p(0.5, 2.0)
    every = [D.Bernoulli(p(0.3, 1.0)), D.Bernoulli(p(0.6, 0.2)), D.Beta(p(2.0, 3.0), p(1.5, 0.7)), D.Binomial(5, p(0.3, 0.8)),
             D.Binomial(7, p(0.2, 0.5)), D.Categorical(p([0.2, 0.8], [0.0, 1.0])), D.Categorical(p([0.5, 0.5], [0.3, 0.7])),
             D.Cauchy(*real), D.Cauchy(*other), D.ContinuousBernoulli(p(0.3, 0.8)), D.Dirichlet(p([0.3, 0.8], [1.0, 2.0])),
             D.Dirichlet(p([1.3, 0.8], [1.0, 3.0])), D.Exponential(p(0.3, 0.8)), D.Gamma(*real), D.Chi2(p(3.0, 1.0)),
             D.Geometric(p(0.3, 0.8)), D.Geometric(p(0.1, 0.9)), D.Gumbel(*real), D.Gumbel(*other), D.HalfNormal(p(0.3, 0.8)),
             D.Laplace(*real), D.Laplace(*other), D.Normal(*real), D.Normal(*other), D.LogNormal(*real),
             D.OneHotCategorical(p([0.2, 0.8], [0.0, 1.0])), D.Pareto(p(0.3, 0.8), p(1.5, 2.5)), D.Poisson(p(0.3, 0.8)),
             D.Poisson(p(2.0, 0.8)), D.Uniform(p(0.1, 0.2), p(0.9, 0.8)), D.Uniform(p(0.0, -1.0), p(1.0, 5.0)),
             D.Independent(D.Normal(*real), 1), D.MultivariateNormal(p(0.1, 0.2, 0.3), matrix),
             D.LowRankMultivariateNormal(p(0.1, 0.2, 0.3), thin, p(0.5, 1.0, 2.0)),
             D.MultivariateNormal(p([0.1, 0.2, 0.5], [1.0, 2.0, 3.0]), matrix * 2), D.Wishart(p(4.5, 6.0), matrix)]
    for i, a in enumerate(every):
        for j, b in enumerate(every):
            yield f"kl {type(a).__name__} {i} {type(b).__name__} {j}", lambda a=a, b=b: D.kl_divergence(a, b)


def gradients(torch):
    """Of samples, with respect to parameters."""
    D = torch.distributions
    for name in ("Normal", "Gamma", "Beta", "StudentT", "Laplace", "Weibull", "Kumaraswamy", "Gumbel", "Pareto", "FisherSnedecor",
                 "LogNormal", "InverseGamma", "Cauchy", "Dirichlet"):
        def gradient(name=name):
            torch.manual_seed(9)
            a = torch.tensor([0.7, 2.5], dtype=torch.float64, requires_grad=True)
            b = torch.tensor([1.2, 0.6], dtype=torch.float64, requires_grad=True)
            parameters = (torch.stack([a, b], -1),) if name == "Dirichlet" else (a, b)
            sample = getattr(D, name)(*parameters).rsample((3,))
            return torch.autograd.grad((sample * sample).sum(), [a, b])
        yield f"gradient {name}", gradient


def transforms(torch):
    D = torch.distributions

    def p(*values):
        return torch.tensor(values, dtype=torch.float64)
    t = {"abs": D.AbsTransform(), "affine": D.AffineTransform(p(0.3, 0.5, 1.0), p(-2.0, 1.0, 3.0)),
         "affine of vectors": D.AffineTransform(p(0.3, 0.5, 1.0), p(-2.0, 1.0, 3.0), event_dim=1),
         "cat": D.CatTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)], -1, [1, 2]),
         "compose": D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.StickBreakingTransform()]),
         "corr": D.CorrCholeskyTransform(), "cdf": D.CumulativeDistributionTransform(D.Normal(p(0.0)[0], p(1.0)[0])),
         "exp": D.ExpTransform(), "independent": D.IndependentTransform(D.ExpTransform(), 1), "lower": D.LowerCholeskyTransform(),
         "definite": D.PositiveDefiniteTransform(), "power": D.PowerTransform(p(0.5, 2.0, -1.0)),
         "reshape": D.ReshapeTransform((3,), (3, 1)), "sigmoid": D.SigmoidTransform(), "softmax": D.SoftmaxTransform(),
         "softplus": D.SoftplusTransform(), "stick": D.StickBreakingTransform(), "tanh": D.TanhTransform(),
         "stack": D.StackTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0), D.TanhTransform()], -1),
         "identity": D.identity_transform}
    values = {"positive": p([0.3, 0.6, 0.9], [0.2, 0.5, 0.3]), "real": p([-0.3, 1.6, 0.9], [-2.0, 0.5, 0.3]),
              "matrix": p([2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0])}
    for name, forward in t.items():
        for direction, f in (("", forward), (" inverse", forward.inv)):
            yield name + direction, lambda f=f: [f.domain.event_dim, f.codomain.event_dim, bool(f.bijective), repr(f)]
            yield f"{name}{direction} sign", lambda f=f: f.sign
            for kind, x in values.items():
                if name == "corr" and kind == "matrix":
                    continue  # not a factor of a correlation matrix: rounding decides what comes out
                yield f"{name}{direction} of {kind}", lambda f=f, x=x: f(x)
                yield f"{name}{direction} and back, of {kind}", lambda f=f, x=x: f.inv(f(x))
                yield f"{name}{direction} Jacobian at {kind}", lambda f=f, x=x: f.log_abs_det_jacobian(x, f(x))
                yield f"{name}{direction} shape of {kind}", lambda f=f, x=x: list(f.forward_shape(x.shape))


def constraints(torch):
    D = torch.distributions
    C = D.constraints

    def p(*values):
        return torch.tensor(values, dtype=torch.float64)
    every = {"boolean": C.boolean, "cat": C.cat([C.positive, C.real], -1, [1, 2]), "corr_cholesky": C.corr_cholesky,
             "greater_than": C.greater_than(0.5), "greater_than_eq": C.greater_than_eq(0.5),
             "independent": C.independent(C.positive, 1),
             "integer_interval": C.integer_interval(0, 3), "interval": C.interval(-1.0, 2.0),
             "half_open_interval": C.half_open_interval(0.2, 0.9), "less_than": C.less_than(0.5),
             "lower_cholesky": C.lower_cholesky, "lower_triangular": C.lower_triangular, "multinomial": C.multinomial(3),
             "nonnegative": C.nonnegative, "nonnegative_integer": C.nonnegative_integer, "one_hot": C.one_hot,
             "positive": C.positive, "positive_semidefinite": C.positive_semidefinite, "positive_definite": C.positive_definite,
             "real": C.real, "simplex": C.simplex, "square": C.square, "unit_interval": C.unit_interval, "dependent": C.dependent,
             "stack": C.stack([C.positive, C.real, C.unit_interval], -1), "symmetric": C.symmetric}
    lower = p([1.0, 0.0, 0.0], [0.5, 1.5, 0.0], [0.1, 0.2, 1.0])
    values = {"positive": p([0.3, 0.6, 0.1], [0.2, 0.5, 0.3]), "real": p([-0.3, 1.6, 0.9], [-2.0, 0.5, float("nan")]),
              "whole": p([0.0, 1.0, 0.0], [2.0, 1.0, -1.0]), "matrix": torch.stack([lower @ lower.mT, lower, -lower])}
    for name, c in every.items():
        yield name, lambda c=c: [repr(c), c.event_dim, bool(c.is_discrete), C.is_dependent(c)]
        for kind, x in values.items():
            yield f"{name} check {kind}", lambda c=c, x=x: c.check(x)
        for registry in (D.biject_to, D.transform_to):
            which = "biject_to" if registry is D.biject_to else "transform_to"
            yield f"{name} {which}", lambda c=c, r=registry: [repr(r(c)), r(c)(values["positive"])]


def errors(torch):
    D = torch.distributions
    one = torch.tensor([1.0, 2.0])
    return {
        "negative scale": lambda: D.Normal(0.0, -1.0), "NaN": lambda: D.Normal(one * float("nan"), 1.0),
        "text": lambda: D.Normal("a", 1.0), "probability": lambda: D.Bernoulli(1.5), "both": lambda: D.Bernoulli(0.5, logits=1.0),
        "neither": lambda: D.Bernoulli(), "weights": lambda: D.Categorical(-one), "no categories": lambda: D.Categorical(one[0]),
        "bounds": lambda: D.Uniform(1.0, 0.0), "a number": lambda: D.Dirichlet(one[0]),
        "indefinite": lambda: D.MultivariateNormal(one, -torch.eye(2)), "no matrix": lambda: D.MultivariateNormal(one),
        "a vector": lambda: D.MultivariateNormal(one, one), "few df": lambda: D.Wishart(1.0, torch.eye(3)),
        "LKJ of 1": lambda: D.LKJCholesky(1), "too many dims": lambda: D.Independent(D.Normal(0.0, 1.0), 1),
        "no transform": lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), 3),
        "too few dims": lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform()),
        "counts": lambda: D.Multinomial(one, one / 3), "geometric 0": lambda: D.Geometric(0.0),
        "negative count": lambda: D.NegativeBinomial(-1.0, torch.tensor(0.5)),
        "half a trial": lambda: D.Binomial(2.5, torch.tensor(0.5)),
        "value is a number": lambda: D.Normal(0.0, 1.0).log_prob(3.0), "outside": lambda: D.Beta(1.0, 1.0).log_prob(one + 1),
        "no rule": lambda: D.kl_divergence(D.Beta(1.0, 1.0), D.Cauchy(0.0, 1.0)), "no gradient": lambda: D.Bernoulli(0.5).rsample(),
        "no mode": lambda: D.LogisticNormal(one, one).mode, "cache": lambda: D.ExpTransform(cache_size=2),
        "components": lambda: D.MixtureSameFamily(D.Categorical(one), D.Normal(torch.zeros(3), 1.0)),
    }.items()


GROUPS = {f.__name__: f for f in (members, divergences, gradients, transforms, constraints, errors)}


def answer(torch, function):
    """What a function returns as plain values, tensors as [shape, numbers]; the name of what it raises."""
    def plain(x):
        if isinstance(x, torch.Tensor):
            return [list(x.shape), x.detach().double().reshape(-1).tolist()]
        return [plain(y) for y in x] if isinstance(x, (list, tuple)) else x
    try:
        result = plain(function())
        return result if isinstance(result, (list, str, int, float)) else repr(result)
    except Exception as error:
        return type(error).__name__
