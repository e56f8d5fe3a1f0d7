"""`nailorch explain`: the textbook's numbers, what one gives, and stepping through the cells with the keyboard."""

import json
import os
import select
import sys
import time

import pytest

from nailorch import using_config
from nailorch.cli.explain import EXAMPLES, TAKES
from nailorch.explaining import EXPLAINED, explain
from nailorch.explaining.terminal import moved, screen


def test_the_textbooks_convolution(program):
    code, out, err = program('explain', 'conv')
    assert (code, err) == (0, '')
    assert '[1][2] 3' in out
    assert [formula for formula in ('0·1 + 1·2 + 2·4 + 3·5 = 25', '= 31', '0·4 + 1·5 + 2·7 + 3·8 = 43', '= 49')
            if formula not in out] == []
    assert '(3 + 0 + 0 − 2) // 1 + 1 = 2' in out


def test_what_one_gives_is_explained(program):
    arguments = '--x', '1 2; 3 4 | 5 6; 7 8', '--kernel', '1 0; 0 −1 | 2 0; 0 0', '--bias', '3', '--pad', '1,0;0,1'
    code, out, err = program('explain', 'conv', *arguments, '--json')
    assert (code, err) == (0, '')
    told = json.loads(out)
    assert told['arrays']['x']['shape'] == [2, 2, 2]
    assert told['arrays']['W']['values'] == [1, 0, 0, -1, 2, 0, 0, 0]
    assert told['output']['values'] == [1, 3, 10, 17]
    assert told['padding'] == [[1, 0], [0, 1]]
    assert program('explain', 'conv', *arguments, '--cell', '1,0', '--quiet')[1].splitlines()[-1] == '7 + 3 = 10'


def test_a_gradient_is_explained(program):
    assert '= 28' in program('explain', 'conv', '--of', 'W', '--cell', '1,1', '--quiet')[1]
    assert '3·2 = 6' in program('explain', 'conv', '--of', 'x', '--gy', '0 0; 0 2', '--cell', '2,2', '--quiet')[1]


@pytest.mark.parametrize('op', EXPLAINED)
def test_every_operator_has_an_example(program, op):
    assert op in EXAMPLES
    assert op in TAKES
    for language in ('en', 'zh'):
        code, out, err = program('explain', op, '--lang', language)
        assert (code, err) == (0, '')
        assert '=' in out


def test_large_arrays_are_shown_in_part(program):
    row = ' '.join(map(str, range(30)))
    code, out, _ = program('explain', 'pooling', '--x', '; '.join([row] * 30), '--size', '2', '--cell', '20,20')
    assert code == 0
    assert '[20][21]' in out
    assert '… +18, +18' in out


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['convv'], "no explanation of 'convv': did you mean conv2d?"),
    (['pooling', '--kernel', '1 2'], 'pooling takes no --kernel'),
    (['conv', '--x', '1 2; 3'], 'different lengths'),
    (['conv', '--x', 'a b'], 'no numbers'),
    (['conv', '--stride', '1.5'], 'no numbers'),
    (['conv', '--stride', 'inf'], "--stride: 'inf' are no numbers"),
    (['conv', '--cell', '0.7,nan'], "--cell: '0.7,nan' are no numbers"),
    (['conv', 'conv'], "explain takes no 'conv'"),
    (['ladder', 'pooling'], "none of 'pooling'"),
])
def test_what_cannot_be_understood(program, arguments, expected):
    code, out, err = program('explain', *arguments)
    assert (code, out) == (2, '')
    assert expected in err


@pytest.mark.parametrize('arguments', [['--kernel', '1 2 3 4'], ['--cell', '5,5'], ['--pad=-1']])
def test_what_does_not_fit(program, arguments):
    code, out, err = program('explain', 'conv', *arguments)
    assert (code, out) == (1, '')
    assert len(err.splitlines()) == 1


def test_keys_lead_through_all_cells():
    shape, seen, place = (2, 2, 3), [], (0, 0, 0)
    for _ in range(12):
        seen.append(place)
        place = moved(place, 'right', shape)
    assert len(set(seen)) == 12
    assert place == (1, 1, 2)  # there it ends
    assert moved((1, 0, 1), 'up', shape) == (0, 1, 1)
    assert moved((0, 0, 1), 'up', shape) == (0, 0, 1)
    assert moved((0, 1, 1), 'home', shape) == (0, 0, 0)
    assert moved((0, 1, 1), 'end', shape) == (1, 1, 2)


def test_a_screen_marks_what_is_read_without_colour():
    from rich.console import Console

    console = Console(width=100, no_color=True, force_terminal=False)
    told = explain('conv2d', [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[0, 1], [2, 3]], pad=1)
    with console.capture() as capture:
        console.print(screen(told, told.cell(0, 0)))
    assert '[·][·]' in capture.get()
    assert '[·][1]' in capture.get()


@pytest.mark.skipif(os.name == 'nt', reason='a pseudo-terminal is a thing of POSIX')
def test_stepping_at_a_terminal():
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.environ |= {'TERM': 'xterm', 'COLUMNS': '100', 'LINES': '30', 'NAILORCH_LANG': 'en'}
        os.execv(sys.executable, [sys.executable, '-m', 'nailorch', 'explain', 'conv'])
    seen = b''

    def until(words: bytes) -> None:
        nonlocal seen
        began = time.monotonic()
        while words not in seen and time.monotonic() - began < 20:
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096)
        assert words in seen
        seen = b''

    until(b'= 25')
    os.write(terminal, b'\x1b[C')
    until(b'= 31')
    os.write(terminal, b'\x1b[B')
    until(b'= 49')
    os.write(terminal, b'q')
    until(b'49')
    while True:
        try:
            if not os.read(terminal, 4096):
                break
        except OSError:  # its other end is closed
            break
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_screen_says_what_the_letters_of_a_size_mean():
    from rich.console import Console

    def shown(told):
        console = Console(width=200, no_color=True, force_terminal=False)
        with console.capture() as capture, using_config('lang', 'en'):
            console.print(screen(told, told.cell((0,) * told.output.ndim)))
        return capture.get()

    assert 'KH, KW: of the window' in shown(explain('conv2d', [[1, 2], [3, 4]], [[1]]))
    assert 'KH, KW' not in shown(explain('softmax', [1, 2, 3]))


@pytest.mark.parametrize('flags', [['--stride', '2'], ['--cell', '0,0'], ['--all']])
def test_the_ladder_refuses_what_it_would_not_heed(complaint, flags):
    code, line = complaint('explain', 'ladder', 'conv', *flags)
    assert code == 2 and f'ladder takes no {flags[0]}' in line


def test_a_gradient_that_comes_back_needs_an_argument(complaint):
    code, line = complaint('explain', 'conv', '--gy', '1 2; 3 4')
    assert code == 1 and "say of which argument the gradient is wanted: of='x'" in line
