"""The parts of inference runtimes in the contest. They read the network from a file made from the same random weights.

All compute in float32, though some would choose bfloat16 where the processor has it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.bench.model_files import write_ncnn, write_onnx
from nailorch.bench.ours import Runner
from nailorch.bench.workloads import Network, Workload
from nailorch.shapes import Array

__all__ = ['RUNTIMES', 'modes', 'prepare']


def modes(workload: Workload) -> list[str]:
    """Return the one way these are used, for the networks' inference."""
    return ['float32'] if workload.job == 'inference' else []


def prepare(workload: Workload, runtime: str, threads: int) -> Runner:
    assert isinstance(workload, Network)
    images, _ = workload.inputs()
    with tempfile.TemporaryDirectory() as folder:
        call = RUNTIMES[runtime](workload, images, threads, Path(folder))
    return Runner(lambda: {'result': np.array(call())}, call)


def onnxruntime(workload: Network, images: Array, threads: int, folder: Path) -> Callable[[], Any]:
    ort: Any = import_module('onnxruntime')
    write_onnx(workload, folder / 'net.onnx')
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(folder / 'net.onnx'), options, providers=['CPUExecutionProvider'])
    return lambda: session.run(['y'], {'x': images})[0]


def openvino(workload: Network, images: Array, threads: int, folder: Path) -> Callable[[], Any]:
    ov: Any = import_module('openvino')
    write_onnx(workload, folder / 'net.onnx')
    core = ov.Core()
    settings = {'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': 'f32'}
    request = core.compile_model(core.read_model(str(folder / 'net.onnx')), 'CPU', settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(images))

    def call() -> Any:
        request.infer()
        return request.get_output_tensor().data

    return call


def ncnn(workload: Network, images: Array, threads: int, folder: Path) -> Callable[[], Any]:
    """ncnn has no batches: the images go through one after the other."""
    library: Any = import_module('ncnn')
    parameters, data = write_ncnn(workload, folder)
    net = library.Net()
    net.opt.num_threads = threads
    for name in ('fp16_packed', 'fp16_storage', 'fp16_arithmetic', 'bf16_packed', 'bf16_storage'):
        if hasattr(net.opt, f'use_{name}'):
            setattr(net.opt, f'use_{name}', False)
    if net.load_param(str(parameters)) or net.load_model(str(data)):
        raise RuntimeError('ncnn could not read its file')
    mats = [library.Mat(image).clone() for image in images]  # a Mat alone would not keep the image alive

    def call() -> Any:
        results = []
        for mat in mats:
            extractor = net.create_extractor()
            extractor.input('x', mat)
            results.append(np.array(extractor.extract('y')[1]))
        return np.stack(results)

    return call


def mnn(workload: Network, images: Array, threads: int, folder: Path) -> Callable[[], Any]:
    write_onnx(workload, folder / 'net.onnx')
    # The converter itself. The command `mnnconvert` around it installs a package by pip and reports its use by network.
    convert = ('import MNN, _tools; '
               '_tools.mnnconvert(["", "-f", "ONNX", "--modelFile", "net.onnx", "--MNNModel", "net.mnn"])')
    done = subprocess.run([sys.executable, '-c', convert], cwd=folder, capture_output=True, text=True, errors='replace')
    if not (folder / 'net.mnn').exists():
        raise RuntimeError(f'MNN could not convert its file: {(done.stderr or done.stdout)[-300:]}')
    library: Any = import_module('MNN')
    interpreter = library.Interpreter(str(folder / 'net.mnn'))
    session = interpreter.createSession({'backend': 'CPU', 'numThread': threads, 'precision': 'high'})
    given, result = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)
    floats, order = library.Halide_Type_Float, library.Tensor_DimensionType_Caffe
    source = library.Tensor(images.shape, floats, images, order)
    shape = (len(images), workload.classes)
    target = library.Tensor(shape, floats, np.zeros(shape, np.float32), order)

    def call() -> Any:
        given.copyFrom(source)
        interpreter.runSession(session)
        result.copyToHostTensor(target)
        return np.array(target.getNumpyData()).reshape(shape)

    return call


RUNTIMES = {'ncnn': ncnn, 'mnn': mnn, 'openvino': openvino, 'onnxruntime': onnxruntime}
