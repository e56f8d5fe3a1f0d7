"""ONNX, the file format that runtimes and frameworks share: models go out, and models come in.

Both ways need the package `onnx`, which is imported when it is used: pip install 'nailorch[onnx]'.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nailorch.onnx.exporting import export
    from nailorch.onnx.importing import load

__all__ = ['export', 'load']

# Public name: the file it is in, imported when the name is first asked for.
LATER = {'export': 'exporting', 'load': 'importing'}


def __getattr__(name: str) -> Any:
    if name in LATER:
        return getattr(import_module(f'nailorch.onnx.{LATER[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
