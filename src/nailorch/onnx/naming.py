"""What the layers and parameters of a file's model are called: as near as can be to the file's own names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from nailorch.onnx.operators import Operator

__all__ = ['clean', 'layer_name', 'role', 'short_name']


def clean(name: str) -> str:
    """Return a name without strange characters, and not too long."""
    return re.sub(r'[^\w.:/-]', '_', name).strip('/')[:120] or '_'


def layer_name(node: Any, own: Sequence[str], place: int) -> str:
    """Return what a node's layer is called: what its weights' names begin with, else the node's own name."""
    fronts = {re.sub(r'[./][^./]*$', '', name) for name in own if re.search(r'.[./]', name)}
    if len(fronts) == 1 and (front := clean(fronts.pop())) != '_':
        return front
    parts = [part for part in clean(node.name).split('/') if part != '_']
    kept = [part for part, after in zip_longest(parts, parts[1:], fillvalue='') if not after.startswith(f'{part}.')]
    if len(kept) > 1 and kept[-1] == node.op_type:
        kept.pop()  # '/layer1/layer1.0/conv1/Conv' is layer1.0.conv1
    return '.'.join(kept) or f'{node.op_type}_{place}'


def role(form: Operator, place: int) -> str:
    """Return what an operator calls its input at `place`: 'W', 'slope'."""
    names = [p.name for p in inspect.signature(form.function).parameters.values()
             if p.kind is p.POSITIONAL_OR_KEYWORD]
    return names[place] if place < len(names) else f'input{place}'


def short_name(name: str, form: Operator, place: int) -> str:
    """Return what a layer calls a parameter: the last part of its name, or else its role."""
    return clean(re.split(r'[./]', name)[-1]) if re.search(r'[./]', name) else role(form, place)
