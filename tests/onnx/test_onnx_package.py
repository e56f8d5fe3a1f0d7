"""The chapter's doors: they need a package that not everybody has."""

import subprocess
import sys

import pytest

from nailorch.onnx.common import onnx_package


def test_the_chapter_is_imported_without_the_package():
    code = ("import sys; sys.modules['onnx'] = None; import nailorch; nailorch.onnx; "
            "from nailorch.onnx.common import onnx_package; onnx_package()")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith("pip install 'nailorch[onnx]'")


def test_the_package_is_returned():
    onnx = pytest.importorskip('onnx', reason='onnx is not installed')
    assert onnx_package() is onnx
