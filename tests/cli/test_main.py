"""The program itself: help in both languages, exit codes, one clear line for what goes wrong."""

import json
import os
import re
import subprocess
import sys
import time
from unicodedata import east_asian_width

import pytest

import nailorch
from nailorch.cli import main, one_line
from nailorch.cli.parser import COMMANDS
from nailorch.cli.texts import TEXTS
from nailorch.config import Config


def test_version_is_that_of_the_package(program):
    assert program('--version') == (0, f'nailorch {nailorch.__version__}\n', '')


def test_without_a_command_the_help_is_shown(program):
    code, out, err = program()
    assert (code, err) == (0, '')
    assert all(f'\n    {command} ' in out for command in COMMANDS)


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_has_help_with_examples_in_both_languages(program, command):
    code, english, err = program(command, '--help')
    assert (code, err) == (0, '')
    assert '(default: )' not in english
    assert re.search(rf'examples:\n.*nailorch {command}', english, re.DOTALL)
    code, chinese, err = program('--lang', 'zh', command, '--help')
    assert (code, err) == (0, '')
    assert re.search(rf'示例：\n.*nailorch {command}', chinese, re.DOTALL)
    assert chinese.startswith('用法：')


def test_help_may_be_said_as_a_word(program):
    assert program('help') == program('--help')
    assert program('help', 'train') == program('train', '--help')


@pytest.mark.parametrize('language', ['en', 'zh'])
@pytest.mark.parametrize('command', [None, *COMMANDS])
def test_help_fits_eighty_columns(program, monkeypatch, command, language):
    monkeypatch.setenv('COLUMNS', '80')
    _, out, _ = program(*([command] if command else []), '--help', '--lang', language)
    for line in out.splitlines():
        assert sum(2 if east_asian_width(letter) in 'WF' else 1 for letter in line) <= 80, line


def test_the_language_asked_for_does_not_outlast_the_call(program):
    before = Config.lang
    main(['--lang', 'zh', '--help'])
    assert Config.lang == before


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['trian'], "there is no 'trian': did you mean train?"),
    (['doctor', '--jsn'], "there is no '--jsn': did you mean --json?"),
    (['doctor', 'now'], "doctor takes no 'now'"),
    (['--lang', 'fr', 'doctor'], "--lang: 'en' or 'zh', not 'fr'"),
    (['doctor', '--lang=fr'], "--lang: 'en' or 'zh', not 'fr'"),
    (['runs', 'latest', 'other'], "runs takes no 'other'"),
    (['runs', '--root'], 'argument --root: expected one argument'),
])
def test_what_is_not_understood_ends_with_2(complaint, arguments, expected):
    code, line = complaint(*arguments)
    assert code == 2
    assert expected in line


def test_complaints_are_translated(complaint):
    code, line = complaint('--lang', 'zh', 'runs', '--root')
    assert (code, line) == (2, 'nailorch: 参数 --root：需要一个值；用法见 nailorch runs --help\n')


@pytest.mark.parametrize(('error', 'code', 'expected'), [
    (ValueError('conv2d: x has 3\nchannels'), 1, 'conv2d: x has 3 channels'),
    (FileNotFoundError(2, 'No such file or directory', 'a.png'), 1, 'a.png: No such file or directory'),
    (MemoryError(), 1, 'out of memory'),
    (KeyboardInterrupt(), 130, 'interrupted'),
    (RuntimeError('oops'), 1, 'unexpected RuntimeError: oops'),
    (AssertionError(), 1, 'unexpected AssertionError: AssertionError'),
])
def test_every_exception_becomes_one_line_and_a_code(complaint, monkeypatch, error, code, expected):
    def fail(options):
        raise error

    monkeypatch.setattr('nailorch.cli.doctor.run', fail)
    given, line = complaint('doctor')
    assert given == code
    assert expected in line


def test_debug_shows_the_traceback_too(program, monkeypatch):
    def fail(options):
        raise ValueError('here')

    monkeypatch.setattr('nailorch.cli.doctor.run', fail)
    code, _, err = program('doctor', '--debug')
    assert code == 1
    assert err.startswith('Traceback')
    assert err.endswith('nailorch: here\n')


def test_one_line_of_a_key_error_is_its_text():
    assert one_line(KeyError('no such key')) == 'no such key'


def test_both_languages_have_the_same_placeholders():
    for key, (english, chinese) in TEXTS.items():
        assert set(re.findall(r'\{\w+', english)) == set(re.findall(r'\{\w+', chinese)), key
        assert re.search(r'[\u4e00-\u9fff]', chinese), key


def test_doctor_tells_versions_and_what_to_install(program, monkeypatch):
    monkeypatch.setattr('nailorch.cli.doctor.installed', lambda name: None if name in ('jinja2', 'onnx') else '9.9')
    code, out, _ = program('doctor')
    assert code == 0
    assert re.search(r"jinja2 +missing: pip install 'nailorch\[report\]'", out)
    assert re.search(r"onnx +missing: pip install 'nailorch\[onnx\]'", out)
    assert re.search(r'rich +9\.9', out)


def test_doctor_answers_in_json(program):
    code, out, _ = program('doctor', '--json')
    found = json.loads(out)
    assert code == 0
    assert found['nailorch'] == nailorch.__version__
    assert found['threads'] >= 1
    assert found['packages']['rich']
    assert found['kernels']['obstacle'] or 0 <= found['kernels']['kept'] <= found['kernels']['kernels']


def test_doctor_compiles_what_is_not_on_disk(program, monkeypatch):
    pytest.importorskip('numba')
    from nailorch.kernels.fast import warming
    monkeypatch.setattr('nailorch.kernels.fast.obstacle', lambda: '')
    monkeypatch.setattr(warming, 'warm', lambda: 3)
    code, out, _ = program('doctor', '--warm')
    assert code == 0 and out.startswith('Kernels compiled: 3\n')
    monkeypatch.setattr('nailorch.kernels.fast.obstacle', lambda: 'numba is not there')
    code, _, err = program('doctor', '--warm')
    assert code == 1 and 'numba is not there' in err


def test_quiet_commands_keep_the_notice_of_compiling_back(program, monkeypatch):
    seen = []
    monkeypatch.setattr('nailorch.cli.doctor.run', lambda options: seen.append(Config.quiet) or 0)
    Config.quiet = False  # put back after every test
    for flags in ([], ['--quiet'], ['--json']):
        program('doctor', *flags)
    assert seen == [False, True, True] and not Config.quiet


def test_help_is_quick_and_imports_nothing_heavy():
    code = ('import sys; from nailorch.cli import main; main(["--help"]); '
            'print(sorted({"rich", "PIL", "matplotlib", "jinja2", "numba", "nailorch.training"} & set(sys.modules)))')
    began = time.perf_counter()
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - began < 3  # 0.15 s here; the bound is for a machine that is busy
    assert done.stdout.splitlines()[-1] == '[]'


def test_python_m_nailorch_is_the_program():
    done = subprocess.run([sys.executable, '-m', 'nailorch', 'doctr', '--lang', 'en'], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == "nailorch: there is no 'doctr': did you mean doctor?\n"


def test_a_reader_that_goes_away_is_no_error():
    command = f'"{sys.executable}" -m nailorch doctor --json | head -c 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ('{', '')


@pytest.mark.skipif(os.name != 'posix', reason='a shell closes the stream')
def test_a_stream_that_is_closed_is_no_error():
    command = f'"{sys.executable}" -m nailorch doctor >&-'
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


def test_a_terminal_that_knows_no_chinese_gets_question_marks():
    command = [sys.executable, '-m', 'nailorch', '--lang', 'zh', 'runs', '--root', 'none']
    done = subprocess.run(command, capture_output=True, env={**os.environ, 'PYTHONIOENCODING': 'ascii'})
    assert (done.returncode, done.stderr) == (0, b'')
    assert done.stdout.startswith(b'none ?')
