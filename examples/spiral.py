"""A small network learns three arms of a spiral, and draws in the terminal which arm it sees where.

    python examples/spiral.py
"""

import numpy as np

import nailorch
import nailorch.functions as F
from nailorch import DataLoader, optimizers
from nailorch.datasets import Spiral
from nailorch.models import MLP

nailorch.seed(0)
train_set = Spiral(train=True)
model = MLP((20, 3), activation=F.tanh)
optimizer = optimizers.Adam(alpha=0.03).setup(model)

for epoch in range(1, 101):
    sum_loss = 0.0
    for x, t in DataLoader(train_set, batch_size=30):
        loss = F.softmax_cross_entropy(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        sum_loss += float(loss.data) * len(t)
    if epoch % 20 == 0:
        print(f'epoch {epoch:3}  loss {sum_loss / len(train_set):.3f}')

rows, columns = np.linspace(1, -1, 21), np.linspace(-1, 1, 43)
points = np.array([(x, y) for y in rows for x in columns], np.float32)
with nailorch.no_grad(), nailorch.test_mode():
    arms = model(points).data.argmax(axis=1).reshape(len(rows), len(columns))
for row in arms:
    print(''.join('.+o'[arm] for arm in row))
