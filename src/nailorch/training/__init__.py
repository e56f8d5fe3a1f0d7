"""Training: the loop, what it measures, and what it keeps.

    trainer.py       the loop: epochs of batches, early stopping
    evaluation.py    a model on a dataset, in test mode
    metrics.py       accuracy, confusion, the mistakes worth looking at
    progress.py      the bar, or one line an epoch
    interrupts.py    Ctrl-C and SIGTERM: finish the batch, save
    saving.py        where a training stands: snapshot, restore, resume
    checkpoints.py   folders that no crash can lose
    packing.py       nested state as arrays and JSON
    runs.py          run folders; history.py: metrics.jsonl
"""
