"""What both directions need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nailorch.messages import message

__all__ = ['onnx_package']


def onnx_package() -> Any:
    """Return the package `onnx`, which reads and writes the files.

    Raises:
        ImportError: it is not installed; the message says what to do.
    """
    try:
        return import_module('onnx')
    except ImportError as error:
        raise ImportError(message('onnx.extra', error=error)) from error
