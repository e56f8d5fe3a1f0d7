"""The parent's end of a participant's process: requests go out, answers come back, and in between it sleeps."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any

from nailorch.bench.machine import environment_of
from nailorch.bench.peers import Participant

__all__ = ['Child', 'Failure']

PATIENCE = 900  # seconds for one answer; compiling VGG16 takes a minute


class Failure(Exception):
    """A participant could not do what it was asked."""


class Child:
    """A participant's process, started by the first request."""

    def __init__(self, participant: Participant, threads: int) -> None:
        self.participant, self.threads = participant, threads
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            Failure: the participant says so, or its process died, or did not answer in time.
        """
        process = self.process or self.start()
        self.signal('SIGCONT')
        assert process.stdin and process.stdout
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        try:
            process.stdin.write(json.dumps(request) + '\n')
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ''
        finally:
            watch.cancel()
        if not line:
            reason = f'its process ended with {process.wait()}: {self.last_words()}'
            self.close()
            raise Failure(reason)
        answer: dict[str, Any] = json.loads(line)
        if 'error' in answer:
            raise Failure(answer['error'])
        self.signal('SIGSTOP')  # threads that still spin would take time from the next participant
        return answer

    def start(self) -> subprocess.Popen[str]:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        who = self.participant
        command = [sys.executable, '-m', 'nailorch.bench.worker', who.peer, who.mode, who.allocation, str(self.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, encoding='utf-8', env=environment_of(who, self.threads))
        return self.process

    def signal(self, name: str) -> None:
        if self.process and hasattr(signal, name):  # Windows has neither
            self.process.send_signal(getattr(signal, name))

    def last_words(self) -> str:
        self.log.seek(0)
        return ' '.join(self.log.read().decode('utf-8', 'replace').split())[-300:]

    def close(self) -> None:
        """End the process; the next request starts a fresh one."""
        if self.process:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
            self.log.close()
        self.process = None
