"""kill -9 at a random moment: the last checkpoint always loads, and training goes on to the same end.

NAILORCH_KILLS=20 for the full number of rounds.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from nailorch.formats.safetensors import load_safetensors
from nailorch.training import Checkpoints
from nailorch.training.packing import pack

KILLS = int(os.environ.get('NAILORCH_KILLS', 5))
EPOCHS = 2 * KILLS  # so that the last kill still meets a training
TINY = Path(__file__).with_name('tiny.py')


def start(folder, pause):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1', 'NAILORCH_LANG': 'en'}
    return subprocess.Popen([sys.executable, TINY, folder, str(pause), str(EPOCHS)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment)


def finish(folder):
    process = start(folder, 0.0)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return out


def ends_in(folder):
    """Return the last checkpoint's state and the best weights, to the bit, apart from times."""
    state = Checkpoints(folder / 'last.ckpt').load().state
    arrays, plain = pack({**state, 'best': load_safetensors(folder / 'best.safetensors')})
    for record in plain['history']:
        del record['seconds'], record['images_per_second']
    del plain['seconds']
    return plain, {name: array.tobytes() for name, array in arrays.items()}


def test_kill_at_random_moments_loses_nothing(tmp_path):
    finish(tmp_path / 'whole')
    random = np.random.default_rng()  # another moment at each run of the suite
    steps = []
    for _ in range(KILLS):
        process = start(tmp_path / 'killed', 0.002)
        assert process.stdout.readline() == 'ready\n', process.communicate()[1]
        time.sleep(random.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        checkpoint = Checkpoints(tmp_path / 'killed' / 'last.ckpt').load()
        if checkpoint:  # the first kill may come before the first batch
            assert checkpoint.skipped == []
            steps.append(checkpoint.state['step'])
    assert steps and steps == sorted(steps)
    print('killed at steps', steps)
    assert 'finished' in finish(tmp_path / 'killed')
    assert ends_in(tmp_path / 'killed') == ends_in(tmp_path / 'whole')


def test_ctrl_c_saves_and_the_process_ends(tmp_path):
    process = start(tmp_path / 'run', 0.05)
    assert process.stdout.readline() == 'ready\n'
    while not list((tmp_path / 'run').glob('last.ckpt/*/manifest.json')):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'SIGINT: stopped in epoch' in err and 'all is saved in' in err
    assert Checkpoints(tmp_path / 'run' / 'last.ckpt').load().skipped == []
