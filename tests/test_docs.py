"""The pages people meet first: their code runs, their numbers are those that come out, their links lead somewhere.

In README.md, CONTRIBUTING.md, docs/ and their Chinese twins,
    ```python   blocks run in order, in one namespace and one temporary folder a page;
    ```text     after one of them is what it printed, '...' standing for anything;
    ```console  blocks are `$ nailorch ...` commands and what they answer, compared alike;
    ```sh       and ```bat blocks are only read: their nailorch commands must parse, their make targets exist;
    ```toml     blocks must be settings of a training.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import importlib
import importlib.util
import io
import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import nailorch
from nailorch import datasets, optimizers, schedules, transforms
from nailorch import functions as F
from nailorch import layers as L
from nailorch.cli import main
from nailorch.cli.parser import COMMANDS, parse
from nailorch.config import using_config
from nailorch.formats.assets import asset
from nailorch.kernels import fast
from nailorch.training.progress import compact
from nailorch.training.settings import Settings, all_settings, settings_from

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'), *(ROOT / 'examples').glob('*.md')])
CHINESE = [page for page in PAGES if page.name.endswith('.zh.md')]
CLASSES, WEIGHTS = 'imagenet1k_clean_names.json', 'mobilenet_v2-b0353104.pth'
FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.M | re.S)
OF_A_FILE = re.compile(r'# ((?:src|tests)/\S+)\.py\n')  # the first line of what is to be put into a file


class Block(NamedTuple):
    kind: str
    text: str
    line: int


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    text = page.read_text('utf-8')
    assert text.count('\n```') % 2 == 0, f'{name(page)}: a fence is left open'
    return [Block(found[1], found[2], text.count('\n', 0, found.start()) + 2) for found in FENCE.finditer(text)]


def prose(page: Path) -> str:
    return FENCE.sub('', page.read_text('utf-8'))


def in_its_language(page: Path):
    return using_config('lang', 'zh' if page in CHINESE else 'en')


def compare(page: Path, block: Block, printed: str) -> None:
    printed = '\n'.join(line.rstrip() for line in printed.splitlines()) + '\n'
    if not doctest.OutputChecker().check_output(block.text, printed, doctest.ELLIPSIS):
        pytest.fail(f'{name(page)}, line {block.line}, says\n{block.text}\nbut this came out:\n{printed}')


def captured(run) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        run()
    return out.getvalue()


def need_packages(page: Path) -> None:
    """Skip the pages whose subject is a package that is not installed, or a file that cannot be fetched."""
    for package in ('onnx', 'onnxruntime') if page.name.startswith('onnx') else ():
        pytest.importorskip(package, reason=f'{package} is not installed: pip install -e ".[test]"')
    for needed in (CLASSES, WEIGHTS, 'photos/coffee.png') if page.name.startswith('pretrained') else ():
        try:
            asset(needed)
        except FileNotFoundError:
            pytest.skip(f'{needed} cannot be had here: nailorch assets fetch {needed}')


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_code_prints_what_the_page_says(page, tmp_path, monkeypatch):
    if page.name.startswith('engine') and fast.obstacle():
        pytest.skip(fast.obstacle())
    need_packages(page)
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    namespace: dict[str, object] = {'__name__': '__main__'}
    for block, following in itertools.zip_longest(found, found[1:], fillvalue=Block('', '', 0)):
        if block.kind != 'python' or OF_A_FILE.match(block.text):
            continue
        # blank lines in front, so that a traceback names the page's own line
        code = compile('\n' * (block.line - 1) + block.text, str(page), 'exec')
        with in_its_language(page):
            printed = captured(lambda code=code: exec(code, namespace))
        if following.kind == 'text':
            compare(page, following, printed)
        elif printed:
            pytest.fail(f'{name(page)}, line {block.line}: what it prints is not shown:\n{printed}')


def commands(text: str, prompt: str = '') -> list[list[str]]:
    """Return the words of every nailorch command in `text`."""
    lines = [line.removeprefix(prompt) for line in text.splitlines() if line.startswith(prompt)]
    words = [shlex.split(line, comments=True) for line in lines]
    programs = [['nailorch'], ['python', '-m', 'nailorch'], ['.venv/Scripts/python', '-m', 'nailorch']]
    return [line[len(program):] for line in words for program in programs if line[:len(program)] == program]


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_commands_answer_what_the_page_says(page, tmp_path, monkeypatch):
    need_packages(page)
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.kind != 'console':
            continue
        for command in re.split(r'^(?=\$ )', block.text, flags=re.M)[1:]:
            line, _, answer = command.partition('\n')
            (arguments,) = commands(line, '$ ')
            with in_its_language(page):
                compare(page, block._replace(text=answer), captured(lambda arguments=arguments: main(arguments)))


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_commands_that_are_only_shown_can_be_given(page, capsys):
    makefile = (ROOT / 'Makefile').read_text('utf-8')
    for block in blocks(page):
        if block.kind in ('sh', 'bat'):
            for arguments in commands(block.text.replace('\\', '/')):
                parsed = parse(arguments)
                assert isinstance(parsed, argparse.Namespace) or {'--help', '-h', '--version'} & set(arguments)
            for target in re.findall(r'^make (\w+)', block.text, re.M):
                assert re.search(rf'^{target}:', makefile, re.M), f'{name(page)}: there is no `make {target}`'


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_settings_that_are_shown_are_settings(page):
    for block in blocks(page):
        if block.kind == 'toml':
            assert settings_from(tomllib.loads(block.text)) != Settings()


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_links_lead_somewhere(page):
    text = prose(page)
    for target in re.findall(r'\]\(([^)\s]+)\)', text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if re.match(r'https?://|mailto:', target):
            continue
        file, _, heading = target.partition('#')
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f'{name(page)} links to {target}'
        if heading:
            assert heading in anchors(linked), f'{name(page)} links to {target}'


def headings(page: Path) -> list[tuple[int, str]]:
    return [(len(marks), title) for marks, title in re.findall(r'^(#+) (.+)$', prose(page), re.M)]


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings of a page."""
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for _, title in headings(page)}


@pytest.mark.parametrize('page', CHINESE, ids=name)
def test_chinese_pages_have_the_parts_of_the_english_ones(page):
    english = page.with_name(page.name.replace('.zh.md', '.md'))
    assert [level for level, _ in headings(page)] == [level for level, _ in headings(english)]
    assert [block.kind for block in blocks(page)] == [block.kind for block in blocks(english)]
    assert f']({english.name})' in prose(page) and f']({page.name})' in prose(english), 'they link to each other'


def test_the_readmes_show_one_demo_in_two_languages():
    """Both transcripts are of runs with one seed: only speeds, times and the words may differ."""
    shown = []
    for page in (ROOT / 'README.md', ROOT / 'README.zh.md'):
        transcript = next(block.text for block in blocks(page) if '\ntest accuracy' in block.text)
        *lines, last = transcript.splitlines()
        assert float(re.fullmatch(r'test accuracy (0\.\d{4})', last)[1]) >= 0.965
        assert f'MNISTNet {compact(206_922)}' in lines[1]
        shown.append([re.findall(r'[\d.]+(?:/[\d.]+%)?', re.sub(r'[\d ]+ (img/s|张/秒)', '', line))
                      for line in lines[1:] if 'runs/' not in line])
    assert shown[0] == shown[1]


# names that the pages use

HOMES = {'F': F, 'L': L, 'optimizers': optimizers, 'schedules': schedules, 'transforms': transforms,
         'datasets': datasets, 'nailorch': nailorch}


def test_names_exist():
    wrong = []
    for page in PAGES:
        for code in re.findall(r'`([^`\n]+)`', prose(page)):
            for home, attribute in re.findall(rf'(?<![\w.])({"|".join(HOMES)})\.(?!py\b)(\w+)', code):
                if not hasattr(HOMES[home], attribute):
                    wrong.append(f'{name(page)}: {home}.{attribute}')
    assert wrong == []


TABLES = [ROOT / 'docs' / 'from_pytorch.md', ROOT / 'docs' / 'from_pytorch.zh.md']


@pytest.mark.parametrize('page', TABLES, ids=name)
@pytest.mark.parametrize('home', ['F', 'L', 'optimizers', 'schedules', 'transforms', 'datasets'])
def test_every_public_name_is_listed(page, home):
    listed = set(re.findall(rf'(?<![\w.]){home}\.(\w+)', ' '.join(re.findall(r'`([^`\n]+)`', prose(page)))))
    module = HOMES[home]
    public = {name for name in module.__all__ if not name.startswith('_') and callable(getattr(module, name))}
    if home in 'FL':  # the Function classes behind the functions, and what helps to write a layer, are its inside
        public = {name for name in public if isinstance(getattr(module, name), type) == (home == 'L')}
    assert public - listed == set()


@pytest.mark.parametrize('page', TABLES, ids=name)
def test_pytorch_names_exist(page):
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    homes = {'torch': torch, 'nn': torch.nn, 'optim': torch.optim, 'Tensor': torch.Tensor}
    found = 0
    for code in re.findall(r'`([^`\n]+)`', prose(page)):
        for home, path in re.findall(r'(?<![\w.])(torch|nn|optim|Tensor)\.([\w.]+)', code):
            thing = homes[home]
            for part in path.rstrip('.').split('.'):
                assert hasattr(thing, part), f'{name(page)}: {home}.{path}'
                thing = getattr(thing, part)
            found += 1
    assert found > 50


@pytest.mark.parametrize('page', [ROOT / 'docs' / 'training.md', ROOT / 'docs' / 'training.zh.md'], ids=name)
def test_every_setting_is_listed_with_its_default(page):
    rows = dict(re.findall(r'^\| `([\w.]+)` \| (?:`([^`|]*)`)? \|', page.read_text('utf-8'), re.M))
    defaults = {key: entry.default for key, _, entry in all_settings()}
    assert rows.keys() == defaults.keys()
    for key, default in defaults.items():
        shown = '' if default is None else str(default).lower() if isinstance(default, bool) else str(default)
        assert rows[key] == shown, key


@pytest.mark.parametrize('page', [ROOT / 'docs' / 'training.md', ROOT / 'docs' / 'training.zh.md'], ids=name)
def test_every_command_is_listed(page):
    assert set(re.findall(r'^\| `nailorch (\w+)', page.read_text('utf-8'), re.M)) == set(COMMANDS)


@pytest.mark.parametrize('page', TABLES, ids=name)
def test_weights_brought_from_pytorch_give_the_same_answers(page):
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    code = next(block.text for block in blocks(page) if 'def from_pytorch' in block.text)
    namespace = {'np': np}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, namespace)

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 3, 3)
            self.bn = torch.nn.BatchNorm2d(3)
            self.fc = torch.nn.Linear(48, 5)

        def forward(self, x):
            return self.fc(torch.flatten(self.bn(self.conv(x)), 1))

    class Ours(nailorch.Model):
        def __init__(self):
            self.conv, self.bn, self.fc = L.Conv2d(3, 3), L.BatchNorm(eps=1e-5), L.Linear(5)

        def forward(self, x):
            return self.fc(F.flatten(self.bn(self.conv(x))))

    torch.manual_seed(0)
    theirs, ours = Theirs(), Ours()
    theirs(torch.rand(8, 2, 6, 6))  # the running averages move
    ours.load_state_dict(namespace['from_pytorch']({k: v.numpy() for k, v in theirs.state_dict().items()}))
    x = np.random.default_rng(0).random((4, 2, 6, 6), np.float32)
    np.testing.assert_allclose(ours.eval()(x).data, theirs.eval()(torch.tensor(x)).detach().numpy(), atol=1e-5)


def test_the_operator_of_contributing_is_held_to_what_every_operator_is(monkeypatch):
    """Its blocks are run in the files that they name, and its spec goes through tests/test_specs.py."""
    from tests import test_specs

    function, spec, layer = (block.text for block in blocks(ROOT / 'CONTRIBUTING.md') if OF_A_FILE.match(block.text))
    monkeypatch.setattr(F, 'elu', run_in_its_file(function)['elu'], raising=False)
    elu = run_in_its_file(layer)['ELU'](0.5)
    np.testing.assert_array_equal(elu(np.array([-1000.0, 2.0])).data, [-0.5, 2.0])

    assert max(len(line) for text in (function, '    ' + spec, layer) for line in text.splitlines()) <= 120
    (spec,) = run_in_its_file(spec.replace('\nOpSpec', '\nADDED = OpSpec'))['ADDED']
    for sample in spec.samples:
        test_specs.test_equals_its_reference(spec, sample)
        test_specs.test_keeps_dtype(spec, sample)
        test_specs.test_takes_any_strides_and_modifies_nothing(spec, sample)
        test_specs.test_derivatives_to_second_order(spec, sample)
        if importlib.util.find_spec('torch'):
            test_specs.test_equals_pytorch(spec, sample)
    for error in spec.errors:
        test_specs.test_errors_say_what_disagrees(*error)


def run_in_its_file(code):
    """Run code that names its file in the first line, with the names that this file has and no others."""
    module = OF_A_FILE.match(code)[1].removeprefix('src/').replace('/', '.')
    scope = dict(vars(importlib.import_module(module)))
    exec(code, scope)
    return scope
