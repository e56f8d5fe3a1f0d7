"""How many threads compute, and how they are given work.

`Config.threads` or NAILORCH_NUM_THREADS sets the number, by default that of the processors this process may use.

Work comes in small portions, 10 to 1000 microseconds each, and beside other programs a processor may be taken away for
longer than all of them last. So whoever has work waits for nobody: it announces the work and begins. Helpers who see it
enter and take their share, piece by piece; when no piece is left the door is shut, and only those inside are waited
for. A helper that is asleep, or has no processor at the moment, has missed it, and nothing is lost. But one that shares
the leader's processor while another is idle is sent there: the system may take a third of a second to see to it.

Ctrl-C may fall between any two instructions of Python. So whatever must not be left half done, a job and who is at it,
is compiled; and of the rest, all that can be left behind is a helper too many, or one that is still on its way home.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import config
from numba.core import serialize

from nailorch.config import thread_count
from nailorch.kernels.fast.emit import add, ask, call, peek, poke, rest, watch
from nailorch.kernels.fast.jit import inner, jit
from nailorch.kernels.fast.memory import address, recorder
from nailorch.kernels.fast.notice import announced

AWAKE = 300e-6  # seconds that a helper looks out for work before it sleeps; waking it takes a tenth of that
PROCESSORS = os.cpu_count() or 1
INTERPRETED = bool(config.DISABLE_JIT)  # no compiler: one thread runs the workers as they are written
TINY = 1 << 15  # numbers that one thread has copied before another would be of use
ALL = 1 << 30  # more threads than there are
OPEN = 1 << 32  # on the door's word: work is going on; below it stands how many helpers are inside
# Words of the board, in bytes. The door has a cache line of its own.
(DOOR, BUSY, ROUND, FUNCTION, JOB, WORKERS, ENTERED, FAILURE, CLOSING, ASLEEP, SLEEP, WAKE, BED, GIVE_WAY, WHERE,
 ALLOWED, ALLOW, PLACE, ROSTER, HELPERS) = (0, *range(64, 216, 8))
SET = 1024  # bytes, a bit for each processor that a thread may run on: as many as Linux knows
ENTRIES = 512  # helpers on the roster; any others are left to the system
ENTRY = 16 + SET  # bytes of one: its number in the system, the processor where it last began, room for a set of them
NOWHERE = 0xFFFFFFFF  # no processor's number
ENGAGED = -1  # in place of a failure: the helpers are at another job
forked = False


def count() -> int:
    """Return the number of threads that the next kernel runs on; a forked child keeps to one, as its siblings do."""
    return 1 if forked or INTERPRETED else thread_count()


def run(worker, job, most=ALL) -> None:
    """Let every thread run a worker on a job; they share its counter, and so its work, out among themselves.

    There is work, or room in the job, for so many threads at `most`. Where that is one, or the others are busy with
    another thread's job, it stays on this one.

    Raises:
        MemoryError: a worker had no memory. Whatever one of them raises comes out here, when all have ended.
    """
    words = array('q', (0, 0, *job))
    at = words.buffer_info()[0]
    words[0] = at + 8
    if INTERPRETED:
        worker.body(0, SimpleNamespace(**dict(zip(worker.dtype.names, words, strict=True))))
        return
    asked = count()
    workers = min(asked, most)
    listener = recorder.get()
    if listener is not None:
        listener.note(worker.address, words, workers)
    failure = ENGAGED if workers <= 1 else helpers().lead(worker.address, at, workers, asked)
    if failure == ENGAGED:
        failure = alone(worker.address, at)
    if failure:
        raise raised(failure)


def run_again(jobs, first, last) -> None:
    """Run some of a table's jobs, three words each: a worker's address, a job's, and how many threads it is for."""
    asked = count()
    at, number = address(jobs) + 24 * first, last - first
    failure = helpers().lead_all(at, number, asked) if asked > 1 else lead_all(0, at, number)
    if failure:
        raise raised(failure)


def raised(failure: int) -> Exception:
    """Return the exception whose address a compiled function left: numba wrote its type and arguments there.

    There are the address of some bytes, how many they are, and the address of their digest.
    """
    begin, count, digest = word_at(failure), word_at(failure + 8) & 0xFFFFFFFF, word_at(failure + 16)
    kind, arguments, _ = serialize._numba_unpickle(begin, ctypes.string_at(begin, count), ctypes.string_at(digest, 20))
    return kind(*arguments or ())


@jit
def alone(function, job):
    return call(function, 0, job)


@jit
def lead(board, function, job, workers):
    """Do a job together with whoever comes in; return the address of an exception that one of them raised, or 0."""
    if add(board + BUSY, 1) != 0:
        add(board + BUSY, -1)
        return ENGAGED
    poke(board + FUNCTION, function)
    poke(board + JOB, job)
    poke(board + WORKERS, workers)
    poke(board + ENTERED, 0)
    poke(board + FAILURE, 0)
    add(board + ROUND, 1)
    add(board + DOOR, OPEN)
    asleep = watch(board + ASLEEP)
    if shares(board) or asleep:
        send(board, asleep)
    failure = call(function, 0, job)
    add(board + DOOR, -OPEN)
    looks = 0
    while watch(board + DOOR) != 0:
        rest()
        looks += 1
        if looks > 4096:  # one of them may be waiting for this very processor
            ask(peek(board + GIVE_WAY), 0, 0, 0)
    failure = failure if failure != 0 else peek(board + FAILURE)
    add(board + BUSY, -1)
    return failure


@jit
def lead_all(board, jobs, number):
    """Do one job of a table after the other, from its beginning; return what `lead` does."""
    for at in range(jobs, jobs + 24 * number, 24):
        function, job, workers = peek(at), peek(at + 8), peek(at + 16)
        poke(job + 8, 0)  # so much of it is taken
        failure = ENGAGED if workers <= 1 else lead(board, function, job, workers)
        if failure == ENGAGED:
            failure = alone(function, job)
        if failure:
            return failure
    return 0


@jit
def shares(board):
    """Return whether a helper last began on the processor that this thread is on, and take note of it."""
    found = False
    if peek(board + WHERE) != 0:
        ask(peek(board + WHERE), board + PLACE, 0, 0)
        for at in entries(board, True):
            if peek(at + 8) == peek(board + PLACE):
                poke(at + 8, NOWHERE)
                found = True
    return found


@jit
def send(board, asleep):
    """Send helpers to other processors than this one, and wake so many of them there.

    Left alone, the system may choose this very one, and see only some milliseconds later that another is idle: time
    enough for all that a small network has to do. Which ones they may use later on stays as it was.
    """
    add(board + ASLEEP, -asleep)
    known = peek(board + WHERE) != 0
    if known:
        ask(peek(board + WHERE), board + PLACE, 0, 0)
    for at in entries(board, known):
        ask(peek(board + ALLOWED), peek(at), SET, at + 16)
        word = at + 16 + peek(board + PLACE) // 64 * 8
        allowed = peek(word)
        poke(word, allowed & ~(1 << peek(board + PLACE) % 64))
        ask(peek(board + ALLOW), peek(at), SET, at + 16)  # refused, where no other is left
        poke(word, allowed)
    for _ in range(asleep):
        ask(peek(board + WAKE), peek(board + BED), 1, 0)
    for at in entries(board, known):
        ask(peek(board + ALLOW), peek(at), SET, at + 16)


@inner
def entries(board, known):
    """Return where the roster tells of each helper."""
    begin = peek(board + ROSTER)
    return range(begin, begin + ENTRY * peek(board + HELPERS) * known, ENTRY)


@jit
def follow(board, patience, served, place):
    """Help with one job after the other; sleep when there was none for so many looks.

    At `place`, the roster says on which processor this thread last began, or nothing is kept if that is 0.
    """
    looks = 0
    while not watch(board + CLOSING):
        looks += 1
        if looks > patience:
            add(board + ASLEEP, 1)
            ask(peek(board + SLEEP), peek(board + BED), -1, 0)
            looks = 0
        if watch(board + DOOR) < OPEN or watch(board + ROUND) == served:
            rest()
            continue
        if add(board + DOOR, 1) >= OPEN:
            served, looks, number = peek(board + ROUND), 0, add(board + ENTERED, 1) + 1
            if place and peek(board + WHERE) != 0:
                ask(peek(board + WHERE), place, 0, 0)
            if number < peek(board + WORKERS):
                failure = call(peek(board + FUNCTION), number, peek(board + JOB))
                if failure != 0:
                    poke(board + FAILURE, failure)
        add(board + DOOR, -1)


@jit
def look(board, times):
    """Look at the door so many times."""
    for _ in range(times):
        if watch(board + DOOR) < OPEN or watch(board + ROUND) == 0:
            rest()


class Board:
    """Words that leaders and helpers look at, in a place of their own; it lasts as long as one of them holds it."""

    def __init__(self) -> None:
        self.words, self.roster = np.zeros(40, np.int64), np.zeros((ENTRIES, ENTRY), np.uint8)
        self.at = -(-address(self.words) // 64) * 64
        addresses, self.bed = system()
        for word, value in zip((SLEEP, WAKE, BED, GIVE_WAY, WHERE, ALLOWED, ALLOW), addresses, strict=True):
            poke_word(self.at + word, value)
        poke_word(self.at + ROSTER, address(self.roster))


def attend(board: Board, patience: int, place: int) -> None:
    """Be a helper."""
    follow(board.at, patience, 0, place)


class Helpers:
    """Threads that look out for work for a while, and then sleep; never do they need Python's lock."""

    def __init__(self) -> None:
        self.lock, self.threads, self.leaving = threading.RLock(), list[threading.Thread](), False
        self.board = Board()
        self.patience = looks_in(self.board.at, AWAKE)
        atexit.register(self.close)

    def lead(self, function: int, job: int, workers: int, asked: int) -> int:
        """Do a job with helpers, one less than workers, of those asked for; return what `lead` above does."""
        self.see_to(asked)
        board = self.board
        return lead(board.at, function, job, workers)

    def lead_all(self, jobs: int, number: int, asked: int) -> int:
        self.see_to(asked)
        board = self.board
        return lead_all(board.at, jobs, number)

    def see_to(self, asked: int) -> None:
        if not asked - 1 <= len(self.threads) < max(asked, PROCESSORS) or self.leaving:
            self.gather(asked)

    def gather(self, asked: int) -> None:
        """See that there are so many helpers, and not many more than processors."""
        with self.lock:
            if self.leaving or len(self.threads) >= max(asked, PROCESSORS):
                # Every job wakes all who sleep: more of them than processors would slow down all that follows.
                self.send_home()
                self.board, self.leaving = Board(), False
            while len(self.threads) < asked - 1:
                self.threads.append(self.another(len(self.threads) + 1))

    def another(self, number: int) -> threading.Thread:
        entry = word_at(self.board.at + ROSTER) + (number - 1) * ENTRY if number <= ENTRIES else 0
        thread = threading.Thread(target=attend, args=(self.board, self.patience, entry and entry + 8), daemon=True,
                                  name=f'nailorch-{number}')
        if entry:
            poke_word(entry + 8, NOWHERE)
        thread.start()
        if entry:
            poke_word(entry, thread.native_id or -1)
            poke_word(self.board.at + HELPERS, number)
        return thread

    def close(self) -> None:
        """Send everybody home, before Python is taken down around them."""
        if not forked and self.lock.acquire(timeout=1):
            self.send_home()

    def send_home(self) -> None:
        """Wait until no helper is left."""
        self.leaving = True
        poke_word(self.board.at + CLOSING, 1)
        send(self.board.at, len(self.threads))
        for thread in self.threads:
            thread.join()
        self.threads.clear()


def looks_in(board: int, seconds: float) -> int:
    """Return how often one looks at the door in that time."""
    look(board, 1)
    begin = time.perf_counter()
    look(board, 1000)
    return max(int(1000 * seconds / (time.perf_counter() - begin)), 1)


def system() -> tuple[list[int], Any]:
    """Return the addresses of what sleeps at a semaphore and wakes, the semaphore, and what gives a processor away.

    Then of what tells which processor this is, and what tells and sets which ones a thread may use; 0 where the system
    has no such function. With them comes the semaphore's memory, to be held, or None.
    """
    placing: list[Any] = [None] * 3
    memory = None
    if os.name == 'nt':
        kernel = ctypes.WinDLL('kernel32')
        kernel.CreateSemaphoreW.restype = ctypes.c_void_p
        functions = [kernel.WaitForSingleObject, kernel.ReleaseSemaphore, kernel.SwitchToThread]
        bed = kernel.CreateSemaphoreW(None, 0, 1 << 30, None)
    elif sys.platform == 'darwin':
        c = ctypes.CDLL(None)
        c.dispatch_semaphore_create.restype = ctypes.c_void_p
        functions = [c.dispatch_semaphore_wait, c.dispatch_semaphore_signal, c.sched_yield]
        bed = c.dispatch_semaphore_create(ctypes.c_long(0))
    else:
        c = ctypes.CDLL(None)
        functions, memory = [c.sem_wait, c.sem_post, c.sched_yield], ctypes.create_string_buffer(64)
        if all(hasattr(c, name) for name in ('getcpu', 'sched_getaffinity', 'sched_setaffinity')):
            placing = [c.getcpu, c.sched_getaffinity, c.sched_setaffinity]
        bed = ctypes.addressof(memory)
        c.sem_init(memory, 0, 0)
    sleep, wake, give_way, *placing = [(function and ctypes.cast(function, ctypes.c_void_p).value) or 0
                                       for function in functions + placing]
    return [sleep, wake, bed, give_way, *placing], memory


def word_at(at: int) -> int:
    return ctypes.c_int64.from_address(at).value


def poke_word(at: int, value: int) -> None:
    ctypes.c_int64.from_address(at).value = value


everybody: list[Helpers] = []
first = threading.Lock()


def helpers() -> Helpers:
    """Return the helpers, who come with the first work for them."""
    if not everybody:
        with first:
            if not everybody:
                with announced():
                    everybody.append(Helpers())
    return everybody[0]


def after_fork() -> None:
    global forked
    forked = True


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=after_fork)
