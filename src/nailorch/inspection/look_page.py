"""The pictures and the page of `nailorch look`: what a network is given, what it answers, where it looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nailorch.drawing import pictures
from nailorch.drawing.pages import render
from nailorch.drawing.svg import png_address
from nailorch.graph import Graph
from nailorch.inspection.classifying import Answer, best_answers
from nailorch.inspection.heat import HeatMap, cam_of, occlusion_of, saliency_of, scores_of, softmax
from nailorch.inspection.look_words import WORDS
from nailorch.inspection.maps import Filters, chosen_layers, maps_of
from nailorch.inspection.receptive import box_of, heat_of
from nailorch.inspection.replaying import node_of
from nailorch.shapes import Array

__all__ = ['Look', 'as_seen', 'look_at', 'look_page']

Prepare = Callable[[Any], Array]
SMALL = 64  # pixels: smaller images are shown as squares


@dataclass
class Look:
    """What was found out about one image.

    Attributes:
        file: the image's name.
        answers: the most probable classes.
        target: the class that is explained.
        pictures: by name, as bytes: input, grad_cam, saliency, occlusion, field, maps 1 ...
        told: by the same names, what stands under the pictures; rows and columns counted from 1.
        box: (top, left, bottom, right) of what the strongest unit of Grad-CAM sees.
    """

    file: str
    answers: list[Answer]
    target: Answer
    pictures: dict[str, Array] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    box: tuple[int, int, int, int] | None = None


def look_at(graph: Graph, x: Array, photo: Array, file: str, names: Sequence[str], target: int | None = None,
            layer: str | None = None, layers: Sequence[str] = (), top: int = 5,
            progress: Callable[[int, int], None] | None = None) -> Look:
    """Look at one image through a traced model.

    Args:
        x: the image as the model takes it, (C, H, W).
        photo: the same as bytes, to be shown, (H, W) or (H, W, 3).
        names: of the classes.
        layer: for Grad-CAM; None: the last convolution.
        layers: whose feature maps are shown; by default four convolutions.
        progress: is told how far the occlusion map is.
    """
    images = x[None]
    if layer is not None:
        node_of(graph, layer, 'grad_cam')  # what is not there is said now, not after all squares are done
    maps = maps_of(graph, images, layers or chosen_layers(graph))
    hidden = occlusion_of(graph, images, target, progress=progress)
    seen = saliency_of(graph, images, hidden.targets)
    scores = graph.run(images)[0]
    chances = softmax(scores) if scores_of(graph, 'look') == graph.outputs[0] else scores
    answers = best_answers(np.log(np.maximum(chances, 1e-30)), names, top)[0]
    wanted = hidden.targets[0]
    found = Look(file, answers, Answer(names[wanted], float(chances[0, wanted]), wanted))
    found.pictures['input'] = photo
    if layer is not None or maps:
        cam = cam_of(graph, images, hidden.targets, layer)
        show_cam(found, graph, cam, photo)
    found.pictures['saliency'] = seen.picture()
    found.told['saliency'] = {}
    found.pictures['occlusion'] = hidden.picture(0, photo)
    side = max(1, min(x.shape[1:]) // 7)
    found.told['occlusion'] = {'size': side, 'count': hidden.values[0].size,
                               'most': f'{100 * max(float(hidden.values.max()), 0):.1f}\u202f%'}
    for place, one in enumerate(maps, 1):
        found.pictures[f'maps {place}'] = one.picture()
        C, H, W = one.values.shape[1:]
        found.told[f'maps {place}'] = {'layer': one.layer, 'shown': min(16, C), 'count': C, 'height': H, 'width': W}
    return found


def show_cam(found: Look, graph: Graph, cam: HeatMap, photo: Array) -> None:
    """Add Grad-CAM, and what its strongest unit sees."""
    assert cam.layer is not None
    node, (row, column) = node_of(graph, cam.layer), cam.peaks[0]
    found.pictures['grad_cam'] = cam.picture(0, photo)
    found.told['grad_cam'] = {'layer': cam.layer, 'height': cam.values.shape[1], 'width': cam.values.shape[2]}
    found.box = box_of(graph, node, (row, column), graph.inputs[0])
    heat = heat_of(graph, node, [cam.images], (None, row, column), 0)
    most = np.quantile(heat, 0.99) or 1.0
    found.pictures['field'] = pictures.boxed(pictures.heat_over(photo, np.minimum(heat / most, 1)), found.box,
                                             max(1, min(photo.shape[:2]) // 100))
    top, left, bottom, right = found.box
    found.told['field'] = {'row': row + 1, 'column': column + 1, 'height': bottom - top, 'width': right - left}


def as_seen(prepare: Prepare, x: Array) -> Array:
    """Turn what a network is given, (C, H, W), back into a picture of bytes.

    How colours become numbers is found by preparing a black picture, a white one and three of one colour each.
    """
    from PIL import Image

    def prepared(colour: tuple[int, int, int]) -> Array:
        return np.asarray(prepare(Image.new('RGB', (64, 64), colour)), np.float64).mean(axis=(1, 2))

    black, white = prepared((0, 0, 0)), prepared((255, 255, 255))
    if x.shape[0] != 3:
        grey = (x[0] - black[0]) / (white[0] - black[0] or 1.0)
        return np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)
    gains = np.stack([prepared(colour) - black for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))], axis=1)
    pixels = np.einsum('rc,chw->hwr', np.linalg.pinv(gains), x - black[:, None, None])
    return np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)


def look_page(model: str, looks: Sequence[Look], filters: Filters | None) -> str:
    """Return the page: one HTML file that asks nothing of the network.

    Raises:
        ImportError: Jinja is not installed; the message says how to.
    """
    facts: dict[str, Any] = {'model': model, 'images': [], 'filters': None}
    for look in looks:
        shown = {name: png_address(picture) for name, picture in look.pictures.items()}
        H, W = look.pictures['input'].shape[:2]
        heats = [{'kind': kind, 'picture': shown[kind], 'told': look.told[kind]}
                 for kind in ('grad_cam', 'field', 'saliency', 'occlusion') if kind in shown]
        maps = [{**look.told[name], 'picture': shown[name], 'across': max(look.pictures[name].shape[1], 480)}
                for name in shown if name.startswith('maps')]
        facts['images'].append({
            'file': look.file, 'input': shown['input'], 'height': H, 'width': W, 'small': min(H, W) < SMALL,
            'answers': [answer._asdict() for answer in look.answers], 'target': look.target.name,
            'probability': look.target.probability, 'heats': heats, 'maps': maps})
    if filters:
        sheet = filters.picture()
        facts['filters'] = {'layer': filters.layer, 'shape': ' × '.join(map(str, filters.values.shape)),
                            'count': len(filters.values), 'picture': png_address(sheet), 'width': 2 * sheet.shape[1]}
    return render('nailorch.inspection', 'look.html', WORDS, facts, {})
