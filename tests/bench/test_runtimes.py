"""Each inference runtime that is installed reads the file made for it and computes the same as ours."""

import pytest

from nailorch.bench import ours, peers, runtimes
from nailorch.bench.catalogue import catalogue
from nailorch.bench.contest import Contest
from nailorch.bench.peers import Participant
from nailorch.bench.statistics import apart

QUICK = catalogue(quick=True)


@pytest.mark.parametrize('name', ['mnistnet-inference-b100', 'resnet50-inference-b1', 'mobilenet_v2-inference-b1'])
@pytest.mark.parametrize('runtime', runtimes.RUNTIMES)
def test_runtime_agrees(runtime, name):
    if lacking := peers.missing([runtime]):
        pytest.skip(lacking[runtime])
    work = QUICK[name]
    # In processes of their own: these libraries print, and keep threads.
    with Contest(1, 1, 0.001, quick=True) as contest:
        results = contest.run(work, [Participant('nailorch', 'reference'), Participant(runtime, 'float32')])
    assert [(result.status, result.reason) for result in results] == [('ok', '')] * 2


def test_ncnn_file_is_as_its_format_says(tmp_path):
    from nailorch.bench.model_files import write_ncnn
    work = QUICK['mnistnet-inference-b100']
    parameters, data = write_ncnn(work, tmp_path)
    assert parameters.read_text().splitlines()[:4] == [
        '7767517', '7 7', 'Input x 0 1 x', 'Convolution conv1 1 1 x conv1 0=16 1=3 4=1 5=1 6=144 9=1']
    assert data.stat().st_size == 4 * (206_922 + 4)  # every parameter, and a flag for each W


def test_onnx_file_is_valid_and_holds_the_weights(tmp_path):
    onnx = pytest.importorskip('onnx')
    work = QUICK['vgg16-inference-b8']
    runtimes.write_onnx(work, tmp_path / 'net.onnx')
    model = onnx.load(tmp_path / 'net.onnx')
    onnx.checker.check_model(model, full_check=True)
    for constant, array in zip(model.graph.initializer, work.weights(), strict=True):
        assert apart(onnx.numpy_helper.to_array(constant), array) == 0
    assert ours.prepare(work, 'reference', 1).check()['result'].shape == (8, 10)
