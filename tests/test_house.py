"""The house rules that no linter knows."""

import ast
import importlib
import inspect
import io
import re
import string
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from nailorch.messages import MESSAGES

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / 'src' / 'nailorch'
CORE = ['config.py', 'shapes.py', 'kernels', 'core', 'functions', 'layers', 'models']


def test_import_leaves_slow_packages_alone():
    slow = {'matplotlib', 'PIL', 'numba', 'rich', 'requests'}
    code = f'import nailorch, sys; print(*sorted({slow} & sys.modules.keys()))'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize('package', ['nailorch', 'nailorch.functions', 'nailorch.layers', 'nailorch.models'])
def test_all_names_things_that_exist(package):
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def promised(package):
    """Return the functions in __all__, those included that the package fetches when they are asked for."""
    return {name for name in getattr(package, '__all__', ()) if inspect.isroutine(getattr(package, name, None))}


def test_no_module_bears_the_name_of_a_public_function_of_its_package():
    clashes = []
    for init in SOURCE.rglob('__init__.py'):
        folder = init.parent
        if 'fast' in folder.relative_to(SOURCE).parts:  # needs a compiler, and is nobody's public package
            continue
        package = importlib.import_module('.'.join(folder.relative_to(SOURCE.parent).parts))
        functions = {name for name, value in vars(package).items() if inspect.isroutine(value)} | promised(package)
        clashes += [f'{package.__name__}.{entry.stem}' for entry in folder.iterdir() if entry.stem in functions]
    assert clashes == []


def placeholders(text):
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


@pytest.mark.parametrize('key', MESSAGES)
def test_message_says_the_same_in_both_languages(key):
    english, chinese = MESSAGES[key]
    assert english.strip() and chinese.strip()
    assert placeholders(english) == placeholders(chinese)


def test_tracked_files_name_neither_this_machine_nor_an_index():
    git = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True)
    if git.returncode:
        pytest.skip('not a git checkout')
    # Written with a class each, so that this file does not contain what it looks for.
    private = re.compile(rb'(?<![\w.])/(wor[k]|roo[t])/|\bpyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.org|-index-ur[l]\b')
    found = [
        f'{path}: {match.group().decode()}'
        for path in git.stdout.split('\0')
        if (ROOT / path).is_file() and (match := private.search((ROOT / path).read_bytes()))
    ]
    assert found == []


DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def lines_of_code(text):
    """Count the lines that hold code: neither blank, nor a comment, nor part of a docstring."""
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


SAMPLE = '''"""Two
lines."""

# why
x = [1,
     2]
def f():
    "doc"
    return """a
b"""
'''


def test_lines_of_code_leaves_out_words_and_blanks():
    assert lines_of_code(SAMPLE) == 5


def test_core_can_be_read(capsys):
    """The promise is a core of about 4,000 lines; past 4,500 it has stopped being one."""
    parts = [SOURCE / part for part in CORE]
    files = [path for part in parts for path in ([part] if part.is_file() else part.rglob('*.py'))]
    total = sum(lines_of_code(path.read_text('utf-8')) for path in files if path.parent.name != 'fast')
    with capsys.disabled():
        print(f'\nThe core has {total} lines of code.')
    assert 0 < total <= 4500
