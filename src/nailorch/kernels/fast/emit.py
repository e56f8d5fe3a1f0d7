"""A language for vector code: bodies written in Python, once, become LLVM instructions inside a jitted function.

    @kernel
    def add_row(m, x, y, count):                       # m is the machine; the rest are integers: addresses and counts
        def step(i):
            m.store(y + 64 * i, m.load(x + 64 * i) + m.load(y + 64 * i))
        m.loop(count, step)

`add_row(x, y, count)` can then be called by any @njit function. The body runs when that is compiled, on a `Machine`:
each operation it asks for is appended to LLVM's instructions. Under NUMBA_DISABLE_JIT=1 the same body runs on an
`Interpreter`, which performs the operations at once, in NumPy; only here is the difference known.
"""

from __future__ import annotations

import inspect

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from nailorch.kernels.fast.interpreter import Interpreter
from nailorch.kernels.fast.machine import SIZE, WHOLE, WORD, Machine, Value
from nailorch.kernels.fast.target import LANES

__all__ = ['SIZE', 'WHOLE', 'add', 'ask', 'call', 'inlined', 'kernel', 'peek', 'poke', 'rest', 'take', 'watch']


def kernel(body, *attributes):
    """Make body(m, *integers) callable from jitted code; it returns an integer, 0 unless the body says otherwise."""
    if config.DISABLE_JIT:
        def twin(*args):
            with np.errstate(all='ignore'):
                return body(Interpreter(), *map(int, args)) or 0
        return twin

    names = list(inspect.signature(body).parameters)[1:]
    kind = ir.FunctionType(WORD, [WORD] * len(names))

    def codegen(context, builder, signature, args):
        name = f'nailorch.{body.__qualname__}.{id(body)}'
        function = builder.module.globals.get(name)
        if function is None:
            function = define(builder.module, kind, name, body, attributes or ('noinline',))
        return builder.call(function, args)

    def typed(typingctx, *args):
        return types.int64(*[types.int64] * len(names)), codegen

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ('typingctx', *names)]
    typed.__signature__ = inspect.Signature(parameters)
    typed.__name__ = typed.__qualname__ = body.__name__
    return intrinsic(typed)


def inlined(body):
    """Make a few instructions callable, to stand where they are called."""
    return kernel(body, 'alwaysinline')


def define(module, kind, name, body, attributes):
    """Append a function to an LLVM module, its code written by body."""
    function = ir.Function(module, kind, name)
    function.linkage = 'internal'
    function.attributes = Attributes(attributes)
    builder = ir.IRBuilder(function.append_basic_block())
    machine = Machine(builder)
    result = body(machine, *(Value(machine, a) for a in function.args))
    builder.ret(machine.constant(result or 0))
    return function


class Attributes(ir.values.FunctionAttributes):
    """A function's attributes, and the wish for whole vectors: tuned for some CPUs, LLVM would halve wide ones."""

    def _to_list(self, ret_type):
        return [*super()._to_list(ret_type), f'"min-legal-vector-width"="{32 * LANES}"']


@inlined
def call(m, function, worker, job):
    """Call a worker by its address; return the address of what it raised, or 0."""
    return m.call_compiled(function, worker, job)


@inlined
def ask(m, function, a, b, c):
    """Call a function of the system by its address."""
    m.call_address(function, a, b, c)


@inlined
def peek(m, address):
    """Return the word at an address."""
    return m.word(address)


@inlined
def poke(m, address, value):
    """Write a word."""
    m.poke(address, value)


@inlined
def take(m, counter):
    """Return the counter and add 1, undisturbed by other threads: each piece of work goes to one of them."""
    return m.take(counter)


@inlined
def add(m, address, number):
    """Add to a word; return what it was."""
    return m.add(address, number)


@inlined
def watch(m, address):
    """Return a word that other threads write."""
    return m.watch(address)


@inlined
def rest(m):
    """Wait a moment."""
    m.rest()
