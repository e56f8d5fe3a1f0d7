"""nailorch's part in the contest: how it prepares each kind of workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nailorch.functions as F
from nailorch import kernels, models, optimizers, session
from nailorch.bench.traced import Traced
from nailorch.bench.workloads import Convolution, Dense, Network, Stack, Workload
from nailorch.config import Config, no_grad, test_mode, using_config
from nailorch.graph import trace
from nailorch.session.replaying import AFTER
from nailorch.shapes import Array, Window

__all__ = ['COMPILED', 'Runner', 'modes', 'prepare']

COMPILED = 'compiled'
MEMORY = 4 << 30  # bytes that a compiled training step may take
HEAVY = 1 << 28  # bytes of weights, with which Python's share of a step is nothing
MOST_SAMPLES = 10_000  # elements of each gradient that are compared


class Runner(NamedTuple):
    """A prepared workload: `check` computes it once and returns what is compared, `run` is what is timed."""

    check: Callable[[], dict[str, Array]]
    run: Callable[[], Any]


def modes(workload: Workload) -> list[str]:
    """Return the engines there are, the one in force first; networks are compiled too, for that engine."""
    compiled = isinstance(workload, Network) and (workload.job == 'inference' or workload.bytes < HEAVY)
    return [Config.engine, *[COMPILED] * compiled, *(name for name in kernels.ENGINES if name != Config.engine)]


def prepare(workload: Workload, mode: str, threads: int) -> Runner:
    """Prepare a workload for one of `modes`; the threads are those of the environment."""
    if mode == COMPILED:
        assert isinstance(workload, Network)
        return training(workload, compile=True) if workload.job == 'training' else compiled(workload)
    Config.engine = mode
    if isinstance(workload, Network):
        return training(workload) if workload.job == 'training' else inference(workload)
    assert isinstance(workload, Convolution | Dense)
    call = convolution(workload) if isinstance(workload, Convolution) else dense(workload)
    return Runner(lambda: {'result': call()}, call)


def build(workload: Network) -> Any:
    if isinstance(workload, Traced):
        return workload.network()
    assert isinstance(workload, Stack)
    net = getattr(models, workload.model)(**workload.options)
    names = [name for name, _ in net.named_parameters()]
    net.load_state_dict(dict(zip(names, workload.weights(), strict=True)))
    return net


def inference(workload: Network) -> Runner:
    """Eager: the model is called as it is."""
    net, (x, _) = build(workload), workload.inputs()

    def call() -> Array:
        with no_grad(), test_mode():
            result: Array = net(x).data
            return result

    return Runner(lambda: {'result': call()}, call)


def compiled(workload: Network) -> Runner:
    """The model as a session: weights packed, steps joined."""
    x, _ = workload.inputs()
    call = session.compile(build(workload), x)
    return Runner(lambda: {'result': call(x)}, lambda: call(x))


def training(workload: Network, compile: bool = False) -> Runner:
    """Whole steps, as they are written or compiled."""
    net, (x, t) = build(workload), workload.inputs()
    rule: Any = optimizers.Momentum(lr=0.001) if workload.optimizer == 'momentum' else optimizers.Adam(alpha=0.001)
    rule.setup(net)
    gradients = session.compile_gradients(net, memory=MEMORY)
    written_down = AFTER + 1 if compile else 0  # steps, before what is compared, and timed, is what runs from then on

    def step() -> float:
        if compile:
            loss, _ = gradients(x, t)
        else:
            loss = F.softmax_cross_entropy(net(x), t)
            net.cleargrads()
            loss.backward()
        rule.update()
        return float(loss.data)

    def check() -> dict[str, Array]:
        # Dropout differs from one to the other: it is off while they are compared.
        with using_config('train', isinstance(workload, Traced)):
            for _ in range(written_down):
                gradients(x, t)
            found = {'loss': np.array(step())}
            found |= told(workload, [sample(parameter.grad.data) for parameter in as_used(net, x)])
            found['loss after the update'] = np.array(float(F.softmax_cross_entropy(net(x), t).data))
        for _ in range(written_down):  # with dropout on, as it is timed
            gradients(x, t)
        return found

    return Runner(check, step)


def as_used(net: Any, x: Array) -> list[Any]:
    """Return the parameters in the order in which a network uses them: others build theirs from what it computes."""
    return [value.source for value in trace(net, x).values if value.kind == 'parameter']


def told(workload: Network, gradients: list[Array]) -> dict[str, Array]:
    """Return gradients by their names, each by itself; but with batch norms, all as one.

    For of some parameters, such as the shift of a norm before another one, the gradient is 0 but for rounding.
    """
    if isinstance(workload, Traced):
        return {'gradients': np.concatenate(gradients)}
    return {f'gradient {index}': gradient for index, gradient in enumerate(gradients)}


def sample(gradient: Array) -> Array:
    """Return elements spread evenly over an array, few enough to be sent."""
    flat = gradient.reshape(-1)
    return flat[::-(-flat.size // MOST_SAMPLES)].copy()


def convolution(workload: Convolution) -> Callable[[], Array]:
    x, W, gy = workload.arrays()
    # Inside a network, x and gy come from a neighbour: in the memory order in which this engine hands its results on.
    x, gy = as_handed_on(x), as_handed_on(gy)
    window = workload.window.on(x.shape[2:])
    if workload.job == 'forward':
        return lambda: kernels.conv2d(x, W, None, window, workload.groups)
    if workload.job == 'data-grad':
        return lambda: kernels.conv2d_data_grad(gy, W, x.shape[2:], window, workload.groups)
    return lambda: kernels.conv2d_weight_grad(x, gy, window, workload.groups)


def as_handed_on(images: Array) -> Array:
    """Return images in the order of axes in memory that the engine's own results have."""
    tiny = np.ones((2, 16, 8, 8), np.float32)
    result = kernels.conv2d(tiny, np.ones((16, 16, 3, 3), np.float32), None, Window(3, 1, 1), 1)
    order = np.argsort([-stride for stride in result.strides], kind='stable')
    return np.ascontiguousarray(images.transpose(order)).transpose(np.argsort(order))


def dense(workload: Dense) -> Callable[[], Array]:
    x, W, _ = workload.arrays()
    return lambda: kernels.linear(x, W, None)
