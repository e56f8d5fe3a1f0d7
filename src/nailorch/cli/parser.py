"""Reading the command line: argparse, speaking the reader's language, with one-line errors that name the nearest word.

Only the command that is asked for is imported, to add its own arguments; `nailorch --help` imports none.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable
from importlib import import_module
from itertools import pairwise
from typing import Any, NoReturn
from unicodedata import east_asian_width

import nailorch
from nailorch.cli.texts import COMPLAINTS, text
from nailorch.config import Config
from nailorch.messages import language

__all__ = ['COMMANDS', 'UsageError', 'add_root', 'count', 'did_you_mean', 'make_parser', 'parse']

COMMANDS = ('demo', 'train', 'evaluate', 'predict', 'classify', 'summary', 'graph', 'look', 'explain', 'figures',
            'export', 'runs', 'assets', 'bench', 'doctor')
LANGUAGES = ('en', 'zh')
CLOSING = '，。、；：！？）'  # no line begins with one of these


class UsageError(ValueError):
    """The request itself cannot be understood; the program ends with 2."""


def parse(arguments: list[str]) -> argparse.Namespace | None:
    """Return the options, or None where help or the version was wanted and has been printed.

    Raises:
        UsageError: an unknown command or flag, a missing argument, a value that no choice allows.
    """
    Config.lang = language_asked(arguments) or Config.lang
    if arguments[:1] == ['help']:  # as many programs have it: help train
        arguments = [*arguments[1:], '--help']
    parser = make_parser(next((word for word in arguments if word in COMMANDS), None))
    try:
        options, unknown = parser.parse_known_args(arguments)
    except SystemExit:  # argparse's way to end after --help and --version
        return None
    if unknown and not unknown[0].startswith('-'):
        raise UsageError(text('usage.many', word=unknown[0], command=options.command))
    if unknown:
        known = parser.flags_of(options.command)
        raise UsageError(text('usage.unknown', word=unknown[0], remedy=did_you_mean(unknown[0].split('=')[0], known)))
    if options.command is None:
        parser.print_help()
        return None
    for name in ('json', 'quiet', 'debug'):
        setattr(options, name, getattr(options, name, False))
    return options


def language_asked(arguments: list[str]) -> str | None:
    """Return the value of --lang, which decides the language of the help and so is read before all else."""
    for word, following in pairwise([*arguments, '']):
        asked = following if word == '--lang' else word.removeprefix('--lang=') if word.startswith('--lang=') else None
        if asked is not None:
            if asked == 'all' and 'figures' in arguments:
                return None  # of the figures alone: nailorch itself speaks as it would
            if asked not in LANGUAGES:
                raise UsageError(text('usage.lang', value=asked))
            return asked
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return 'did you mean …?', or the list of what there is."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return text('usage.meant', near=near[0]) if near else text('usage.known', names=', '.join(known))


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help at a readable width, with the word 'usage' in the reader's language."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=28, **options)
        self._width -= 0 if text('help.usage').isascii() else 3  # argparse counts letters, of which these are wide

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, text('help.usage') if prefix is None else prefix)

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Break a text by the columns it takes: a Chinese character takes two, and a line may end after any of them."""
        if text.isascii():
            return super()._split_lines(text, width)
        lines, room = [''], width
        for word in re.findall(r'[!-~]+|.', text):
            wide = sum(2 if east_asian_width(letter) in 'WF' else 1 for letter in word)
            if wide > room and word not in CLOSING:
                lines, room = [*lines, ''], width
            lines[-1] += word
            room -= wide
        return [line.strip() for line in lines]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose titles are translated and whose complaints are exceptions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, add_help=False, allow_abbrev=False, **options)
        self._positionals.title = text('help.positionals')
        self._optionals.title = text('help.options')
        self.commands: dict[str, Parser] = {}

    def error(self, message: str) -> NoReturn:
        """Raise what argparse complains of, in the language in force."""
        if misspelt := re.match("argument COMMAND: invalid choice: '(.*?)'", message):
            raise UsageError(text('usage.unknown', word=misspelt[1], remedy=did_you_mean(misspelt[1], COMMANDS)))
        if language() == 'zh':
            for english, chinese in COMPLAINTS.items():
                message = re.sub(english, chinese, message)
        raise UsageError(text('usage.error', problem=message, prog=self.prog))

    def flags_of(self, command: str | None) -> list[str]:
        """Return the flags that this parser, or that of one of its commands, knows."""
        parser = self.commands.get(command or '', self)
        return [flag for flag in parser._option_string_actions if flag.startswith('--')]


def make_parser(command: str | None = None) -> Parser:
    """Return the parser of all commands; `command` alone gets its arguments, since only it is imported."""
    parser = Parser(prog='nailorch', usage=text('help.command'), description=text('help.about'),
                    epilog=text('help.examples'))
    chosen = parser.add_subparsers(dest='command', title=text('help.commands'), metavar='COMMAND', prog='nailorch')
    for name in COMMANDS:
        about, examples = text(f'{name}.about'), text(f'{name}.examples')
        parser.commands[name] = chosen.add_parser(name, help=about, description=about, epilog=examples)
        if name == command:
            import_module(f'nailorch.cli.{name}').add_arguments(parser.commands[name])
        add_common(parser.commands[name], name)
    add_common(parser, command).add_argument('--version', action='version', version=f'nailorch {nailorch.__version__}',
                                    help=text('help.version'))
    return parser


def count(given: str) -> int:
    """Read the value of a flag that says how many."""
    if not re.fullmatch(r'[1-9]\d{0,8}', given, re.ASCII):
        raise argparse.ArgumentTypeError(text('usage.count', value=given))
    return int(given)


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add --root, where runs are kept."""
    parser.add_argument('--root', metavar='FOLDER', default='runs', help=text('root'))


def add_common(parser: argparse.ArgumentParser, command: str | None = None) -> argparse._ArgumentGroup:
    """Add the flags that stand before or after the command alike (so no default: the second would undo the first)."""
    group = parser.add_argument_group(text('help.common'))
    group.add_argument('-h', '--help', action='help', help=text('help.help'))
    group.add_argument('--json', action='store_true', default=argparse.SUPPRESS, help=text('help.json'))
    group.add_argument('--quiet', action='store_true', default=argparse.SUPPRESS, help=text('help.quiet'))
    languages = (*LANGUAGES, 'all') if command == 'figures' else LANGUAGES
    group.add_argument('--lang', choices=languages, default=argparse.SUPPRESS, help=text('help.lang'))
    group.add_argument('--debug', action='store_true', default=argparse.SUPPRESS, help=text('help.debug'))
    return group
