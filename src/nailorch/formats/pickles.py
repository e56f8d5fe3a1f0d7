"""Pickles from strangers, read as data: a pickle is a program for a small machine, and this machine can do no harm.

Python's own unpickler runs what a file says: it calls, sets attributes, hashes and remembers whatever it is told to.
This one knows the few opcodes that plain data is made of, and calls the few functions that it is given; every other
opcode and name is refused. Keys are strings and small numbers: a tuple of tuples of tuples may take forever to hash, as
may a thousand large numbers that were chosen to have one hash. What functions copy is counted.
Source: Python's pickletools, which describes each opcode.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, BinaryIO

from nailorch.messages import message

__all__ = ['Bounded', 'dictionary', 'unpickle']

STEPS = 1 << 18  # opcodes, of which a tensor takes about 40: twice what ResNet152 and its Adam take, half a second
LARGEST = 1 << 48  # of numbers that are keys
LITERALS = {'INT', 'LONG', 'LONG1', 'LONG4', 'BININT', 'BININT1', 'BININT2', 'FLOAT', 'BINFLOAT',
            'STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'}
CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': ()}
EMPTY: dict[str, Callable[[], Any]] = {'EMPTY_LIST': list, 'EMPTY_DICT': dict}
TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
MARK = object()  # on the stack: where a tuple, or the items for a list or dictionary, begin


class Bounded:
    """A file that ends at `end`, and asks for no memory for bytes that are not there."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self.file, self.end = file, end

    def tell(self) -> int:
        return self.file.tell()

    def read(self, count: int) -> bytes:
        left = max(self.end - self.tell(), 0)
        if not 0 <= count <= left:
            raise EOFError(message('broken.left', count=count, left=left))
        return self.file.read(count)

    def readline(self) -> bytes:
        return self.file.readline(min(max(self.end - self.tell(), 0), 1 << 16))


def unpickle(file: Any, known: Callable[[str], Any], load: Callable[[Any], Any] | None = None) -> Any:
    """Run the pickle that begins where `file` stands, and return what it holds.

    Args:
        file: a `Bounded` one.
        known: takes a name, 'module.name', and returns what stands for it, a function if it may be called; or raises
            ValueError.
        load: takes a persistent id, and returns what stands for it; None: there are none.
    Raises:
        Exception: of any kind, where the bytes are no such pickle.
    """
    machine = Machine(known, load)
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if step == STEPS:
            raise ValueError(message('broken.steps', most=STEPS))
        if opcode.name == 'STOP':
            return machine.pop()
        machine.step(opcode.name, argument)
    raise EOFError(message('broken.end'))


class Machine:
    """A stack, and a memory for what is used again."""

    def __init__(self, known: Callable[[str], Any], load: Callable[[Any], Any] | None) -> None:
        self.known, self.load = known, load
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.given = 0  # how many things, or letters, functions were called with

    def step(self, name: str, argument: Any) -> None:
        """Do what one opcode says."""
        if name in LITERALS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name == 'MARK':
            self.stack.append(MARK)
        elif name in ('GET', 'BINGET', 'LONG_BINGET'):
            self.stack.append(self.memory[argument])
        elif name in ('PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'):
            self.memory[key_of(len(self.memory) if argument is None else argument)] = self.stack[-1]
        elif name in TUPLES:
            items = [self.pop() for _ in range(TUPLES[name])]
            self.stack.append(tuple(reversed(items)))
        elif name == 'TUPLE':
            self.stack.append(tuple(self.since_mark()))
        elif name in ('LIST', 'DICT', 'APPEND', 'APPENDS', 'SETITEM', 'SETITEMS'):
            self.collect(name)
        elif name in ('GLOBAL', 'STACK_GLOBAL', 'REDUCE', 'BINPERSID', 'BUILD'):
            self.construct(name, argument)
        elif name not in ('PROTO', 'FRAME'):
            raise ValueError(message('broken.opcode', name=name))

    def collect(self, name: str) -> None:
        """Make or fill a list or a dictionary."""
        if name in ('APPEND', 'SETITEM'):
            items = [self.pop() for _ in range(1 if name == 'APPEND' else 2)][::-1]
        else:
            items = self.since_mark()
        if name in ('LIST', 'DICT'):
            self.stack.append([] if name == 'LIST' else {})
        target = self.stack[-1]
        if name in ('LIST', 'APPEND', 'APPENDS') and type(target) is list:
            target.extend(items)
        elif name in ('DICT', 'SETITEM', 'SETITEMS') and type(target) is dict:
            target.update(dictionary(zip(items[::2], items[1::2], strict=True)))
        else:
            raise TypeError(message('broken.fills', kind=type(target).__name__))

    def construct(self, name: str, argument: Any) -> None:
        """Find, call or load what a name stands for."""
        if name == 'GLOBAL':
            self.stack.append(self.known(argument.replace(' ', '.')))
        elif name == 'STACK_GLOBAL':
            name, module = self.pop(), self.pop()
            self.stack.append(self.known(f'{module:s}.{name:s}'))
        elif name == 'BINPERSID' and self.load:
            self.stack.append(self.load(self.pop()))
        elif name == 'BUILD':
            self.pop()  # what would be set on a thing that was made: a dictionary's notes, which nobody reads
        else:
            arguments, function = self.pop(), self.pop()
            if type(function) is not FunctionType or type(arguments) is not tuple:
                raise TypeError(message('broken.calls', kind=type(function).__name__))
            self.given += sum(len(each) for each in arguments if isinstance(each, str | bytes | list | tuple | dict))
            if self.given > STEPS:  # one list of a million things, copied a million times
                raise ValueError(message('broken.copies', most=STEPS))
            self.stack.append(function(*arguments))

    def pop(self) -> Any:
        """Take the uppermost thing from the stack."""
        item = self.stack.pop()
        if item is MARK:
            raise ValueError(message('broken.mark'))
        return item

    def since_mark(self) -> list[Any]:
        """Take all that stands above the uppermost mark, and the mark."""
        items: list[Any] = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]


def dictionary(items: Iterable[tuple[Any, Any]] = ()) -> dict[str | int, Any]:
    """Return a dictionary, as OrderedDict makes it, of keys that are strings or numbers."""
    return {key_of(key): value for key, value in items}


def key_of(key: Any) -> Any:
    """Return a key, if it can do no harm."""
    if type(key) is not str and not (type(key) is int and abs(key) < LARGEST):
        raise TypeError(message('broken.key', kind=type(key).__name__))
    return key
