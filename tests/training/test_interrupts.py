"""Ctrl-C and SIGTERM."""

import os
import signal
import threading

import pytest

from nailorch.training.interrupts import StopRequest, TrainingInterrupted


def nothing():
    pass


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_only_noted(number):
    with StopRequest(nothing) as stop:
        assert stop.signal is None
        send(number)
        assert stop.signal == number


@pytest.mark.parametrize('number, error', [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_second_signal_quits_at_once(number, error):
    with pytest.raises(error), StopRequest(nothing):
        send(signal.SIGINT)
        send(number)


def test_former_handlers_are_back_afterwards():
    former = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), StopRequest(nothing):
        assert signal.getsignal(signal.SIGINT) != former[0]
        raise RuntimeError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == former


def test_an_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest(nothing) as stop:
            send(signal.SIGINT)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGINT, former)


def test_another_thread_changes_no_handler():
    seen = []

    def enter():
        with StopRequest(nothing):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_the_first_signal_is_told_once():
    told = []
    with pytest.raises(KeyboardInterrupt), StopRequest(lambda: told.append(1)):
        send(signal.SIGTERM)
        assert told == [1]
        send(signal.SIGINT)
    assert told == [1]


def test_the_error_tells_how_to_exit():
    error = TrainingInterrupted('stopped', signal.SIGTERM, None)
    assert (error.signal_name, error.exit_code, str(error)) == ('SIGTERM', 143, 'stopped')
    assert isinstance(error, KeyboardInterrupt)
