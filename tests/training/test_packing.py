"""Nested state, parted into arrays and plain values."""

import numpy as np
import pytest

from nailorch.training.packing import pack, unpack

STATE = {'model': {'conv/W': np.ones((2, 3)), 'conv/b': np.zeros(2)}, 'step': 3,
         'rng': {'name': 'PCG64', 'inc': 2**100}, 'permutation': np.arange(4),
         'nothing': {}, 'history': [{'epoch': 1}], 'none': None}


def test_pack_names_arrays_by_their_path():
    arrays, plain = pack(STATE)
    assert list(arrays) == ['model/conv/W', 'model/conv/b', 'permutation']
    assert arrays['model/conv/W'] is STATE['model']['conv/W']
    assert plain['model'] == {'conv/W': {'__array__': 'model/conv/W'}, 'conv/b': {'__array__': 'model/conv/b'}}
    assert plain['history'] == [{'epoch': 1}] and plain['rng'] == STATE['rng'] and plain['none'] is None


def test_unpack_puts_together_what_pack_parted():
    arrays, plain = pack(STATE)
    again = unpack(arrays, plain)
    assert again.keys() == STATE.keys()
    assert again['permutation'] is STATE['permutation']
    assert again['model']['conv/b'] is STATE['model']['conv/b']
    assert again['nothing'] == {} and again['history'] == STATE['history']


def test_unpack_names_an_array_that_is_missing():
    with pytest.raises(ValueError, match="there is no array 'a/b'"):
        unpack({}, {'a': {'b': {'__array__': 'a/b'}}})


def test_unpack_names_a_mark_that_is_no_name():
    with pytest.raises(ValueError, match='there is no array'):
        unpack({}, {'a': {'__array__': ['a']}})
