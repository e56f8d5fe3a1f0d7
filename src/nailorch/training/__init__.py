"""Training: the loop, what it measures, and what it keeps.

    trainer.py       the loop: epochs of batches
    freezing.py      parts that do not learn; features.py: what they make of images, computed once
    stopping.py      which epoch is the best, and when to stop
    evaluation.py    a model on a dataset, in test mode
    progress.py      the bar, or one line an epoch
    interrupts.py    Ctrl-C and SIGTERM: finish the batch, save
    saving.py        where a training stands: snapshot, restore, resume
    checkpoints.py   folders that no crash can lose
    packing.py       nested state as arrays and JSON
    runs.py          run folders; history.py: metrics.jsonl
"""

from nailorch.training.checkpoints import CheckpointError, Checkpoints
from nailorch.training.evaluation import Evaluation, NonFiniteLoss, evaluate
from nailorch.training.features import features_once
from nailorch.training.freezing import freeze
from nailorch.training.history import History
from nailorch.training.interrupts import TrainingInterrupted
from nailorch.training.runs import Run, RunError, list_runs
from nailorch.training.trainer import Trainer

__all__ = [
    'CheckpointError',
    'Checkpoints',
    'Evaluation',
    'History',
    'NonFiniteLoss',
    'Run',
    'RunError',
    'Trainer',
    'TrainingInterrupted',
    'evaluate',
    'features_once',
    'freeze',
    'list_runs',
]
