"""A headless Chromium, driven through its debugging pipe: no package, no port, and no way into the network."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')
KEYS = {'ArrowLeft': 37, 'ArrowUp': 38, 'ArrowRight': 39, 'ArrowDown': 40, 'Home': 36, 'End': 35, 'Tab': 9, 'Enter': 13}
PATIENCE = 30.0  # seconds for an answer

# Chromium wants to find its two pipes as files 3 and 4.
TRAMPOLINE = ('import fcntl, os, sys; ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 20) for end in sys.argv[1:3]]; '
              '[os.dup2(end, 3 + place) for place, end in enumerate(ends)]; os.execv(sys.argv[3], sys.argv[3:])')


def program() -> str | None:
    """Return where a Chromium is; None if there is none that could be driven."""
    return next(filter(None, map(shutil.which, NAMES)), None) if os.name == 'posix' else None


class Browser:
    """One window.

    Attributes:
        requests: the addresses that it asked for, but for the files that `open` named.
        errors: what it wrote to its console as errors or warnings, exceptions among them.
    """

    def __init__(self, path: str, profile: str) -> None:
        their_read, self.write = os.pipe()
        self.read, their_write = os.pipe()
        flags = ['--headless=new', '--remote-debugging-pipe', f'--user-data-dir={profile}', '--no-first-run',
                 '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
                 '--disable-dev-shm-usage', '--host-resolver-rules=MAP * ~NOTFOUND', '--force-device-scale-factor=1',
                 '--window-size=1200,900', *(['--no-sandbox'] if os.geteuid() == 0 else [])]
        self.process = subprocess.Popen(
            [sys.executable, '-c', TRAMPOLINE, str(their_read), str(their_write), path, *flags, 'about:blank'],
            pass_fds=(their_read, their_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(their_read)
        os.close(their_write)
        self.buffer, self.number, self.session = b'', 0, None
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.loaded = 0
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Network', 'Log', 'Accessibility'):
            self.call(f'{domain}.enable')

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.session = None
            self.call('Browser.close')
        for end in (self.read, self.write):
            os.close(end)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def call(self, method: str, **parameters):
        """Give an order and return the answer; what happens meanwhile is kept."""
        self.number += 1
        order = {'id': self.number, 'method': method, 'params': parameters}
        if self.session:
            order['sessionId'] = self.session
        os.write(self.write, json.dumps(order).encode() + b'\0')
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.receive(deadline)
            if answer.get('id') == self.number:
                assert 'error' not in answer, f'{method}: {answer["error"]}'
                return answer['result']

    def receive(self, deadline: float):
        while b'\0' not in self.buffer:
            if not select.select([self.read], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError('the browser does not answer')
            if not (more := os.read(self.read, 1 << 20)):
                raise ConnectionError('the browser ended')
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b'\0')
        told = json.loads(line)
        self.note(told.get('method'), told.get('params', {}))
        return told

    def note(self, event, about) -> None:
        if event == 'Network.requestWillBeSent':
            self.requests.append(about['request']['url'])
        elif event == 'Runtime.exceptionThrown':
            self.errors.append(str(about['exceptionDetails']))
        elif event == 'Log.entryAdded' and about['entry']['level'] in ('error', 'warning'):
            self.errors.append(about['entry']['text'])
        elif event == 'Runtime.consoleAPICalled' and about['type'] in ('error', 'warning', 'assert'):
            self.errors.append(str(about['args']))
        elif event == 'Page.loadEventFired':
            self.loaded += 1

    def open(self, path: Path) -> None:
        """Show a file and wait until it has loaded."""
        before, address = self.loaded, path.as_uri()
        self.requests.clear()
        self.errors.clear()
        self.call('Page.navigate', url=address)
        deadline = time.monotonic() + PATIENCE
        while self.loaded == before:
            self.receive(deadline)
        self.requests = [asked for asked in self.requests if asked != address]

    def run(self, code: str):
        """Return what a JavaScript expression gives."""
        found = self.call('Runtime.evaluate', expression=code, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in found, found['exceptionDetails']
        return found['result'].get('value')

    def press(self, key: str, times: int = 1) -> None:
        about = {'key': key, 'code': key, 'windowsVirtualKeyCode': KEYS[key]}
        for _ in range(times):
            self.call('Input.dispatchKeyEvent', type='rawKeyDown', **about)
            self.call('Input.dispatchKeyEvent', type='keyUp', **about)

    def hover(self, selector: str) -> None:
        self.mouse('mouseMoved', selector)

    def click(self, selector: str) -> None:
        self.mouse('mouseMoved', selector)
        self.mouse('mousePressed', selector, button='left', clickCount=1)
        self.mouse('mouseReleased', selector, button='left', clickCount=1)

    def mouse(self, what: str, selector: str, **about) -> None:
        x, y = self.run(f"""(() => {{
            const item = document.querySelector({json.dumps(selector)});
            item.scrollIntoViewIfNeeded();
            const box = item.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        self.call('Input.dispatchMouseEvent', type=what, x=x, y=y, **about)

    def resize(self, width: int, height: int = 900) -> None:
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, **features: str) -> None:
        """Set what the user prefers: media(prefers_color_scheme='dark')."""
        self.call('Emulation.setEmulatedMedia', features=[
            {'name': name.replace('_', '-'), 'value': value} for name, value in features.items()])

    def names(self, role: str) -> list[str]:
        """Return the names that a screen reader says of all things of a role."""
        nodes = self.call('Accessibility.getFullAXTree')['nodes']
        return [node.get('name', {}).get('value', '') for node in nodes
                if not node['ignored'] and node.get('role', {}).get('value') == role]


@contextlib.contextmanager
def browser():
    """Give a window; skip the test where there is no Chromium."""
    path = program()
    if path is None:
        pytest.skip('no Chromium on this machine')
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        window = Browser(path, profile)
        try:
            yield window
        finally:
            window.close()
