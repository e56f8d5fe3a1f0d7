"""The chapter's network learns real handwritten digits, with every step of the training in sight.

    python examples/textbook_net.py            5 epochs
    python examples/textbook_net.py 20         as many as you like

The weights are kept in textbook_net.npz, and the next run goes on from there: delete the file to begin anew, and after
changing Net. The 5,000 digits are fetched once (1.4 MB). For MNIST's 60,000, import MNIST instead of Digits.
"""

import os
import sys
import time

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import DataLoader, Model, optimizers
from nailorch.datasets import Digits

max_epoch = int(sys.argv[1]) if len(sys.argv) > 1 else 5
batch_size = 100


class Net(Model):
    def __init__(self):
        super().__init__()
        self.conv1 = L.Conv2d(16, kernel_size=3, stride=1, pad=1)  # 16 filters, over as many channels as x has
        self.fc1 = L.Linear(10)

    def forward(self, x):
        x = F.pooling(F.relu(self.conv1(x)), 2, 2)  # (N, 16, 14, 14)
        x = F.reshape(x, (x.shape[0], -1))  # (N, 3136)
        return self.fc1(F.dropout(x))


nailorch.seed(0)
train_set, test_set = Digits(train=True), Digits(train=False)
train_loader = DataLoader(train_set, batch_size)
test_loader = DataLoader(test_set, batch_size, shuffle=False)

model = Net()
optimizer = optimizers.Adam(alpha=0.001).setup(model)

if os.path.exists('textbook_net.npz'):
    model.load_weights('textbook_net.npz')
    print('going on from textbook_net.npz')

if nailorch.cuda.gpu_enable:
    train_loader.to_gpu()
    test_loader.to_gpu()
    model.to_gpu()

for epoch in range(max_epoch):
    start = time.time()
    sum_loss = 0.0

    for x, t in train_loader:
        x = x.reshape(-1, 1, 28, 28)  # (N, 784) -> (N, C, H, W)
        y = model(x)
        loss = F.softmax_cross_entropy(y, t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        sum_loss += float(loss.data) * len(t)

    print(f'epoch {epoch + 1}  loss {sum_loss / len(train_set):.4f}  {time.time() - start:.1f} s')

sum_acc = 0.0
with nailorch.no_grad(), nailorch.test_mode():  # no tape, no dropout
    for x, t in test_loader:
        y = model(x.reshape(-1, 1, 28, 28))
        sum_acc += float(F.accuracy(y, t).data) * len(t)

model.save_weights('textbook_net.npz')
print(f'test accuracy {sum_acc / len(test_set):.4f}; weights saved in textbook_net.npz')
