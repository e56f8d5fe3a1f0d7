"""A training small enough to be run dozens of times, with every source of randomness a real one has.

As a script it trains in the folder it is given, so that tests can interrupt or kill it.
"""

import sys
import time

import numpy as np

import nailorch.functions as F
import nailorch.layers as L
from nailorch import optimizers, rng, schedules
from nailorch.datasets import ArrayDataset
from nailorch.models import Model
from nailorch.training import Trainer


class Net(Model):
    def __init__(self):
        super().__init__()
        self.conv = L.Conv2d(4, kernel_size=3, pad=1)
        self.norm = L.BatchNorm()
        self.fc = L.Linear(3)

    def forward(self, x):
        x = F.pooling(F.relu(self.norm(self.conv(x))), 2, 2)
        x = F.dropout(F.reshape(x, (x.shape[0], -1)), 0.3)
        return self.fc(x)


def jitter(x):
    """Augment: shift by a random pixel and add noise."""
    random = rng.generator()
    return (np.roll(x, random.integers(-1, 2), axis=2) + random.normal(0, 0.1, x.shape)).astype(np.float32)


def dataset(samples=60, transform=jitter):
    random = np.random.default_rng(5)
    t = random.integers(0, 3, samples)
    x = random.normal(0, 1, (samples, 1, 6, 6)).astype(np.float32)
    x[np.arange(samples), 0, 2 * t, :] += 1.5
    return ArrayDataset(x, t, transform)


def trainer(run=None, epochs=3, **settings):
    """A training of 3 epochs of 8 batches (the last one smaller), with Adam, a schedule and patience."""
    settings = {'batch_size': 8, 'patience': 10, 'progress': 'lines', 'seed': 3, **settings}
    schedule = settings.pop('schedule', None) or schedules.CosineAnnealingLR(T_max=8 * epochs, step_on='batch')
    return Trainer(Net(), optimizers.Adam(alpha=0.01), dataset(), dataset(20, None), epochs=epochs, schedule=schedule,
                   run=run, **settings)


if __name__ == '__main__':
    folder, pause = sys.argv[1], float(sys.argv[2])
    training = trainer(folder, epochs=int(sys.argv[3]), patience=None, checkpoint_every=0.0)
    step = training.optimizer.update

    def slowly():
        time.sleep(pause)
        step()

    training.optimizer.update = slowly
    # What is needed once, such as loading kernels, is no part of what is interrupted.
    F.softmax_cross_entropy(Net()(np.zeros((2, 1, 6, 6), np.float32)), np.zeros(2, int)).backward()
    print('ready', flush=True)
    training.fit(resume=True)
    print('finished', flush=True)
