"""Jitted functions, kept on disk, and workers: what every thread runs.

A kept function is good for exactly the sources it was made from. Numba would look at its own file alone; but a kernel
here is written by several, the emitter and the tiles among them, so the stamp is a digest of all.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path

import numba
import numpy as np
from numba import types
from numba.core import caching, codegen, serialize, sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock

from nailorch.kernels.fast.emit import add
from nailorch.kernels.fast.notice import announced

HERE = Path(__file__).parent


@functools.cache
def digest() -> str:
    """Return a digest of every source of this package."""
    sources = [path.name.encode() + path.read_bytes() for path in sorted(HERE.glob('*.py'))]
    return hashlib.sha256(b''.join(sources)).hexdigest()


def stamped(locator):
    """Return a place where numba keeps functions, with our stamp on what it keeps."""
    class Stamped(locator):
        def get_source_stamp(self):
            return digest()

        @classmethod
        def from_function(cls, py_func, py_file):
            return super().from_function(py_func, py_file) if Path(py_file).parent == HERE else None

    return Stamped


# Wherever numba would keep a function: where NUMBA_CACHE_DIR says, beside its source, or in the user's cache.
caching.CacheImpl._locator_classes[:0] = map(stamped, list(caching.CacheImpl._locator_classes))


class Sealed(caching.IndexDataCacheFile):
    """Files whose data say of themselves that they are whole, of these sources and for this key; others count as none.

    An index alone does not tell. It is written first: where there is no room for the data then, it names older ones;
    two processes may give the same name to what they made for two processors; and a power cut leaves empty files.
    """

    def seal(self, data):
        return hashlib.sha256(repr(self._source_stamp).encode() + data).digest()

    def save(self, key, data):
        super().save(key, (key, data))

    def load(self, key):
        try:
            made_for, data = super().load(key) or (None, None)
        except Exception:  # whatever comes of reading what somebody else wrote
            return None
        return data if made_for == key else None

    def _save_data(self, name, data):
        data = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(self.seal(data) + data)

    def _load_data(self, name):
        sealed = Path(self._data_path(name)).read_bytes()
        return serialize.loads(sealed[32:]) if sealed[:32] == self.seal(sealed[32:]) else None

    def _load_index(self):
        try:
            return super()._load_index()
        except Exception:  # it is damaged, and written anew
            return {}


class Kept(caching.FunctionCache):
    """Keeps a function while there is room: one that a full disk does not take is compiled again at the next start."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = Sealed(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())

    def _guard_against_spurious_io_errors(self):
        return contextlib.suppress(OSError)


def keepable() -> bool:
    """Return whether there is a place to keep functions; without one, every process compiles what it needs."""
    if getattr(numba.config, 'CACHE_LOCATOR_CLASSES', ''):
        return False  # somebody chose other places, whose stamp would not be ours
    try:
        caching.FunctionCache(stamped)
    except RuntimeError:  # neither this folder nor the user's may be written
        return False
    return True


kept = keepable()


def jit(function):
    """Return a function that is compiled at its first call, without Python's lock, and kept."""
    compiled = numba.njit(nogil=True)(function)
    if kept and not numba.config.DISABLE_JIT:
        compiled._cache = Kept(function)
    return compiled


class Draft(codegen.JITCodeLibrary):
    """Code as it was written, to stand in other functions: it is optimised there, and becomes no code of its own."""

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        """Leave it to those who call."""

    def _finalize_final_module(self):
        self._finalized = True


class Drafting(Compiler):
    def __init__(self, typing, target, library, args, result, flags, locals):
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typing, target, Draft(target.codegen(), 'draft'), args, result, flags, locals)


def inner(function):
    """Return a function for workers to call: its code goes into theirs. From Python it is the function that it was.

    As `jit` it would do the same; but numba would optimise it and make machine code of it for its own sake, with what
    it calls, and that again for each function above it: a third of all the time that compiling takes.
    """
    if numba.config.DISABLE_JIT:
        return function
    made = numba.njit(nogil=True, pipeline_class=Drafting)(function)

    def add_overload(result):
        key = object()  # in place of the function that Python would call
        made.targetctx.insert_user_function(key, result.fndesc, [result.library])
        made.overloads[tuple(result.signature.args)] = result._replace(entry_point=key)

    made.add_overload, made._compile_for_args = add_overload, lambda *args, **names: function
    return made


class Routine(CFunc):
    """A function by its address, called as numba's are among themselves: what it raises reaches the caller.

    The C function that numba would put around it prints an exception, and returns as if nothing had happened.
    """

    @global_compiler_lock
    def compile(self):
        made = self._cache.load_overload(self._sig, self._targetdescr.target_context)
        if made is None:
            made = self._compile_uncached()
            self._cache.save_overload(self._sig, made)
        self._library = made.library  # its memory is the code's
        self._wrapper_address = self._library.get_pointer_to_function(made.fndesc.llvm_func_name)


def compiled(function, signature, keep=True):
    """Return a function's Routine, compiled now or read from where it is kept."""
    routine = Routine(function, sigutils.normalize_signature(signature), locals={}, options={})
    if kept and keep:
        routine._cache = Kept(function)
    routine.compile()
    return routine


class Worker:
    """A function of a worker's number and a job, run by every thread at once; `job` names the words that a job holds.

    It is compiled at its first use, and called by its address: one driver runs them all, and is compiled only once.
    """

    def __init__(self, body, job):
        # Work is shared out by a counter; its word follows its address.
        self.body, self.dtype = body, np.dtype([(name, np.int64) for name in ('counter', 'taken', *job._fields)])
        WORKERS.append(self)

    @property
    def signature(self):
        return types.void(types.int64, types.CPointer(numba.from_dtype(self.dtype)))

    @functools.cached_property
    def address(self):
        with announced():
            self.routine = compiled(self.body, self.signature)
        return self.routine.address


WORKERS: list[Worker] = []


def worker(job):
    return lambda body: Worker(body, job)


@inner
def record(job):
    """Return the job at an address."""
    return numba.carray(job, (1,))[0]


BACK = 32  # bit of a counter's word from which on it counts the pieces taken from the back


@inner
def claim(counter, number, total):
    """Return a piece of work, of so many, that nobody has; `total` if none is left.

    Workers of even numbers begin at the front, the others at the back: so most of what a worker reads is what it wrote
    in the kernel before, and in its own cache. To get it from another processor's takes as long as from memory.
    """
    back = number & 1
    taken = add(counter, 1 << BACK * back)
    front, behind = taken & ((1 << BACK) - 1), taken >> BACK
    if front + behind >= total:
        return total
    return total - 1 - behind if back else front


# What a worker is given: the address of its job, or without a compiler the job.
opened = (lambda job: job) if numba.config.DISABLE_JIT else record
