"""Pages: one HTML file, complete in itself, in both languages, that asks nothing of the network.

A page's template stands beside the code that fills it; what is around it, `templates/page.html`, and the style,
`data/page.css`, are one for all pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from nailorch.messages import language, message

__all__ = ['Words', 'grouped', 'percent', 'render']

Words = Mapping[str, tuple[str, str]]  # English and Chinese


def render(package: str, template: str, words: Words, facts: Mapping[str, Any], markup: Mapping[str, str]) -> str:
    """Fill a template; everything that is not markup of our own is escaped.

    Args:
        package, template: where the template is: a package, and a file in its folder `templates`.
        words: what `say` puts into the page in both languages, and `plain`, for attributes, in the one in force.
        facts: what it is filled with.
        markup: facts that are markup of our own.
    Raises:
        ImportError: Jinja is not installed; the message says how to.
    """
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise ImportError(message('report.extra', package='jinja2')) from error

    def say(key: str, **values: Any) -> str:
        english, chinese = (markupsafe.Markup(text).format(**values) for text in words[key])
        return markupsafe.Markup('<span lang="en">{}</span><span lang="zh-Hans">{}</span>').format(english, chinese)

    def plain(key: str, **values: Any) -> str:  # for attributes, which no switch reaches
        return words[key][language() == 'zh'].format(**values)

    style = files('nailorch.drawing').joinpath('data/page.css').read_text(encoding='utf-8')
    texts = {name: files(where).joinpath(f'templates/{name}').read_text(encoding='utf-8')
             for where, name in (('nailorch.drawing', 'page.html'), ('nailorch.drawing', 'filters.html'),
                                 (package, template))}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True, loader=jinja2.DictLoader(texts))
    helpers = {'say': say, 'plain': plain, 'percent': percent, 'grouped': grouped, 'lang': language(),
               'style': markupsafe.Markup(style)}
    own = {name: markupsafe.Markup(part) for name, part in markup.items()}
    page: str = environment.get_template(template).render({**facts, **own, **helpers})
    return page + '\n'


def percent(share: float, digits: int = 1) -> str:
    """Return 0.975 as '97.5 %', with a space that does not break."""
    return '–' if share != share else f'{100 * share:.{digits}f}\u202f%'


def grouped(number: float) -> str:
    """Return 206922 as '206 922', with narrow spaces that do not break."""
    return f'{number:,}'.replace(',', '\u202f')
