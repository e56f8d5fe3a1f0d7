"""Evaluation of a model on a dataset, against numbers worked by hand."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Variable
from nailorch.datasets import ArrayDataset
from nailorch.training.evaluation import Sums, evaluate

X = np.array([[2., 0.], [0., 2.], [2., 0.]], np.float32)  # the scores themselves
T = np.array([0, 1, 1])


def same(x):
    return Variable(x)


def test_evaluate_measures_over_uneven_batches():
    result = evaluate(same, ArrayDataset(X, T), batch_size=2)
    right, wrong = np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))  # -log softmax of the two scores, by hand
    np.testing.assert_allclose(result.loss, (2 * right + wrong) / 3, rtol=1e-6)
    assert result.accuracy == 2 / 3
    assert result.predicted.tolist() == [0, 1, 0] and result.labels.tolist() == [0, 1, 1]
    np.testing.assert_allclose(result.probabilities[0], [1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(2.0))], rtol=1e-6)


def test_evaluate_has_no_accuracy_where_targets_are_no_classes():
    result = evaluate(same, ArrayDataset(X, X + 1), loss=F.mean_squared_error)
    assert result.accuracy is None
    assert result.loss > 0


def test_evaluate_runs_in_test_mode_without_a_tape():
    seen = []

    def model(x):
        seen.append((nailorch.Config.train, nailorch.Config.enable_backprop))
        return Variable(x)

    evaluate(model, ArrayDataset(X, T))
    assert seen == [(False, False)]
    assert nailorch.Config.train and nailorch.Config.enable_backprop


def test_evaluate_keeps_the_order_of_the_dataset():
    x = np.eye(7, dtype=np.float32)
    assert evaluate(same, ArrayDataset(x, np.arange(7)), batch_size=3, workers=2).predicted.tolist() == list(range(7))


def test_evaluate_names_an_empty_dataset():
    with pytest.raises(ValueError, match='ArrayDataset'):
        evaluate(same, ArrayDataset(X[:0], T[:0]))


def test_sums_weigh_a_batch_by_its_samples():
    sums = Sums()
    sums.add(1.0, np.zeros((3, 2)), np.array([0, 0, 1]))
    sums.add(5.0, np.zeros((1, 2)), np.array([0]))
    assert sums.mean_loss == (3 * 1.0 + 5.0) / 4
    assert sums.accuracy == 3 / 4


def test_sums_count_every_pixel_of_a_segmentation():
    sums = Sums()
    sums.add(1.0, np.zeros((2, 3, 4, 5)), np.zeros((2, 4, 5), int))
    assert (sums.samples, sums.right, sums.answers) == (2, 40, 40)
