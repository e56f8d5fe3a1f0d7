"""TOML that is hostile."""

import pytest

from nailorch.formats.toml import parse_toml


def test_parse_toml_reads_toml():
    assert parse_toml('[model]\nname = "a.b"') == {'model': {'name': 'a.b'}}


@pytest.mark.parametrize('text, expected', [
    ('seed = \n', 'line 1, column'),
    ('seed = ' + '[' * 100_000, 'nested too deep'),
    ('seed = ' + '9' * 5000, 'digits'),
    ('x = 1\n' + '.'.join('a' * 100_000) + ' = 1', r'dots \(at line 2\)'),  # tomllib: a minute and 6 GB
], ids=['syntax', 'arrays', 'digits', 'dots'])
def test_parse_toml_answers_every_fault_with_one_kind_of_error(text, expected):
    with pytest.raises(ValueError, match=expected):
        parse_toml(text)
