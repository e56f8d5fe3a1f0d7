"""Metrics against numbers worked by hand."""

import numpy as np
import pytest

from nailorch.inspection import metrics

# Eight samples of three classes. Right: samples 0, 1, 3, 4, 7.
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2])
PREDICTED = np.array([0, 0, 2, 1, 1, 2, 2, 2])
MATRIX = np.array([[2, 0, 1], [0, 2, 2], [0, 0, 1]])


def test_accuracy_counts_equal_pairs():
    assert metrics.accuracy(PREDICTED, LABELS) == 5 / 8


def test_accuracy_of_nothing_is_an_error():
    with pytest.raises(ValueError, match='no predictions'):
        metrics.accuracy(np.array([], int), np.array([], int))


def test_accuracy_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r'\(3, 1\), \(3,\)'):
        metrics.accuracy(np.zeros((3, 1), int), np.zeros(3, int))


def test_confusion_matrix_has_true_rows_and_predicted_columns():
    assert metrics.confusion_matrix(PREDICTED, LABELS).tolist() == MATRIX.tolist()


def test_confusion_matrix_has_room_for_absent_classes():
    matrix = metrics.confusion_matrix(PREDICTED, LABELS, classes=5)
    assert matrix.shape == (5, 5) and matrix.sum() == 8 and not matrix[3:].any()


@pytest.mark.parametrize('label', [-1, 3])
def test_confusion_matrix_names_a_class_out_of_range(label):
    with pytest.raises(ValueError, match='from 0 to 2'):
        metrics.confusion_matrix(np.array([0, 1]), np.array([label, 2]), classes=3)


def test_class_accuracy_divides_the_diagonal_by_the_rows():
    assert metrics.class_accuracy(MATRIX).tolist() == [2 / 3, 2 / 4, 1.0]


def test_class_accuracy_is_nan_for_a_class_without_samples():
    result = metrics.class_accuracy(np.array([[4, 1], [0, 0]]))
    assert result[0] == 0.8 and np.isnan(result[1])


def test_hardest_pair_is_the_largest_count_off_the_diagonal():
    assert metrics.hardest_pair(MATRIX) == (1, 2, 2)


def test_hardest_pair_takes_the_first_of_a_tie():
    assert metrics.hardest_pair(np.array([[9, 0, 2], [2, 9, 0], [0, 0, 9]])) == (0, 2, 2)


def test_hardest_pair_is_none_without_mistakes():
    assert metrics.hardest_pair(np.diag([3, 0, 5])) is None


def test_confident_mistakes_come_most_confident_first():
    probabilities = np.array([[.5, .3, .2], [.1, .7, .2], [.3, .3, .4], [.05, .05, .9], [.6, .2, .2]])
    labels = np.array([1, 1, 0, 0, 1])       # right: only sample 1; confidences of the wrong ones: .5 .4 .9 .6
    assert metrics.confident_mistakes(probabilities, labels).tolist() == [3, 4, 0, 2]
    assert metrics.confident_mistakes(probabilities, labels, count=2).tolist() == [3, 4]


def test_softmax_rows_add_to_one_even_for_huge_scores():
    result = metrics.softmax(np.array([[1000., 1000.], [0., np.log(3.)]]))
    np.testing.assert_allclose(result, [[.5, .5], [.25, .75]])
