"""PyTorch's files, as PyTorch writes them, and as nobody should."""

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from nailorch.config import using_config
from nailorch.formats.files import BrokenFile
from nailorch.formats.pth import read_pth
from nailorch.formats.weights import read_weights

FORMS = {'zip': {}, 'legacy': {'_use_new_zipfile_serialization': False}, 'protocol 4': {'pickle_protocol': 4}}


def state(torch):
    torch.manual_seed(0)
    base, conv = torch.randn(6, 4), torch.nn.Conv2d(3, 4, (3, 2))
    return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(4)).state_dict() | {
        'parameter': conv.weight, 'half': torch.randn(3).half(), 'bfloat16': torch.randn(3).bfloat16(),
        'double': torch.randn(2).double(), 'bool': torch.tensor([True, False]), 'int8': torch.tensor([-1, 3]).char(),
        'view': base[1:3, ::2].T, 'same storage': base, 'again': base, 'expanded': torch.ones(1).expand(3, 4),
        'empty': torch.zeros(0, 3), 'scalar': torch.tensor(2.5), 'uint16': torch.tensor([1, 60000], dtype=torch.uint16),
    }


def expected(tensor):
    tensor = tensor.detach()
    return (tensor.float() if str(tensor.dtype) in ('torch.bfloat16', 'torch.float16') else tensor).numpy()


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('inside', [False, True])
def test_all_that_pytorch_saves_is_read(form, inside, tmp_path):
    torch = pytest.importorskip('torch')
    tensors = state(torch)
    whole = {'epoch': 3, 'lr': .1, 'optimizer': {'state': {0: {}}, 'betas': (.9, .99)}, 'state_dict': tensors}
    torch.save(whole if inside else tensors, tmp_path / 'a', **FORMS[form])
    weights = read_weights(tmp_path / 'a')
    assert weights.kind == 'torch'
    assert list(weights.arrays) == list(tensors)
    for name, tensor in tensors.items():
        array = weights.arrays[name]
        np.testing.assert_array_equal(array, expected(tensor))
        assert (array.dtype, array.shape) == (expected(tensor).dtype, expected(tensor).shape)


def test_a_whole_model_is_refused_by_name(tmp_path):
    torch = pytest.importorskip('torch')
    torch.save(torch.nn.ReLU(), tmp_path / 'a.pth')
    with pytest.raises(BrokenFile, match=r'names torch\.nn\.modules\.activation\.ReLU.*state_dict\(\)'):
        read_pth(tmp_path / 'a.pth')


# made by hand, without PyTorch

def tensor(key=b'0', count=4, offset=0, shape=(2, 2), strides=(2, 1), dtype=b'Float'):
    """Return the pickle's opcodes of one tensor."""
    def ints(values):
        return b'(' + b''.join(b'\x8a\x08' + value.to_bytes(8, 'little', signed=True) for value in values) + b't'

    return (b'ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\n' + dtype + b'Storage\nU' + bytes([len(key)])
            + key + b'U\x03cpu\x8a\x08' + count.to_bytes(8, 'little', signed=True) + b'tQ'
            + b'\x8a\x08' + offset.to_bytes(8, 'little', signed=True) + ints(shape) + ints(strides) + b'\x89}tR')


def dictionary(**items):
    return b'\x80\x02}(' + b''.join(b'U' + bytes([len(name)]) + name.encode() + item
                                    for name, item in items.items()) + b'u.'


def archive(path, pickled, **entries):
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('a/data.pkl', pickled)
        for name, content in ({'data/0': bytes(16)} | entries).items():
            file.writestr(f'a/{name}', content)
    return path


def test_a_file_made_by_hand_is_read_in_both_byte_orders(tmp_path):
    for order, code in (('little', '<f4'), ('big', '>f4')):
        numbers = np.arange(4, dtype=code)
        path = archive(tmp_path / 'a', dictionary(x=tensor()), **{'data/0': numbers.tobytes(), 'byteorder': order})
        np.testing.assert_array_equal(read_pth(path)['x'], numbers.reshape(2, 2))


HOSTILE = {
    'os.system': b'\x80\x02cos\nsystem\nU\x02idR.',
    'eval': b'\x80\x02cbuiltins\neval\n(U\x041+1ttR.',
    'getattr': b'\x80\x02cbuiltins\ngetattr\n(}U\x03popttR.',
    'copyreg': b'\x80\x02ccopyreg\n_reconstructor\n(ctorch\nSize\ncbuiltins\nobject\nNtR.',
    'a name inside a name': b'\x80\x04\x8c\x0ctorch._utils\x8c\x17_rebuild_tensor_v2.__globals__\x93.',
    'by stack': b'\x80\x04\x8c\x02os\x8c\x06system\x93.',
    'an instance': b'(ios\nsystem\n.',
    'an object': b'(cos\nsystem\no.',
    'an extension': b'\x82\x01.',
    'a persistent id of another kind': b'\x80\x02U\x04evilQ.',
    'a storage called': b'\x80\x02ctorch\nFloatStorage\n)R.',
    'a call of what was read': b'\x80\x02U\x02os)R.',
    'a memory of two billion places': b'\x80\x02Nr\xff\xff\xff\x7f.',
    'a string of many bytes': b'\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.',
    'bytes': b'\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.',
    'a long number': b'\x80\x02\x8b\xff\xff\xff\x7f.',
    'a number of many digits': b'L' + b'9' * 10_000 + b'L\n.',
    'deep lists': b'\x80\x02' + b']' * 100_000 + b'a' * 99_999 + b'.',
    'laughs for a key': b'\x80\x02}(U\x01x' + b'q\x01h\x01\x86' * 200 + b'Nu.',
    'a list as a key': b'\x80\x02}]Ns.',
    'numbers of one hash as keys': b'\x80\x02}(' + b''.join(
        b'\x8a\x0b' + (number * (2 ** 61 - 1)).to_bytes(11, 'little') + b'N' for number in range(1, 50_000)) + b'u.',
    'numbers of one hash to remember': b'\x80\x02N' + b''.join(
        b'p%d\n' % (number * (2 ** 61 - 1)) for number in range(1, 50_000)) + b'.',
    'a list copied a thousand times': b'\x80\x02ctorch\nSize\nq\x00](K\x01q\x01' + b'h\x01' * 100_000
                                      + b'e\x85q\x02' + b'h\x00h\x02R' * 1000 + b'.',
    'a dictionary in itself': b'\x80\x02}q\x00U\x0astate_dicth\x00s.',
    'a name that is the file': b'\x80\x02}X\xa0\x86\x01\x00' + b'a ' * 50_000 + dictionary(x=tensor())[6:-2] + b's.',
    'a storage whose name is the file': dictionary(x=tensor()).replace(
        b'U\x010U\x03cpu', b'X\xa0\x86\x01\x00' + b'a ' * 50_000 + b'U\x03cpu'),
    'no tensors': b'\x80\x02}.',
    'a number': b'\x80\x02K\x01.',
    'no end': b'\x80\x02}',
    'nothing': b'',
    'an empty stack': b'\x80\x02.',
    'too little': b'\x80\x02Ns.',
    'no mark': b'\x80\x02Nt.',
    'a mark for a thing': b'\x80\x02(\x85.',
    'more steps than any file': b'\x80\x02' + b'N' * (1 << 20) + b'.',
    'beyond its storage': dictionary(x=tensor(shape=(2, 3))),
    'far beyond': dictionary(x=tensor(shape=(1 << 40, 1 << 40))),
    'before its storage': dictionary(x=tensor(offset=-1)),
    'backwards': dictionary(x=tensor(strides=(-2, 1))),
    'negative sizes': dictionary(x=tensor(shape=(-1, -1))),
    'too many axes': dictionary(x=tensor(shape=(1,) * 70, strides=(1,) * 70)),
    'no storage of that name': dictionary(x=tensor(key=b'7')),
    'another folder': dictionary(x=tensor(key=b'../data.pkl')),
    'a storage larger than it is': dictionary(x=tensor(count=1 << 40, shape=(1 << 40,), strides=(1,))),
    'a small storage shown a thousand times': dictionary(
        **{f'x{i}': tensor(shape=(1 << 20, 1), strides=(0, 0)) for i in range(20)}),
    'numbers that NumPy lacks': dictionary(x=tensor(dtype=b'QInt8')),
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_hostile_pickles_are_one_named_error(kind, tmp_path):
    path = archive(tmp_path / 'bad.pth', HOSTILE[kind])
    with pytest.raises(BrokenFile, match=r'bad\.pth: not a whole PyTorch file of weights: .') as caught:
        read_weights(path)
    assert len(str(caught.value)) < 600


def test_legacy_files_run_no_names_either(tmp_path):
    start = b''.join(pickle.dumps(each, 2) for each in (0x1950a86a20f9469cfc6c, 1001, {'little_endian': True}))
    (tmp_path / 'bad.pth').write_bytes(start + HOSTILE['os.system'])
    with pytest.raises(BrokenFile, match=r'names os\.system'):
        read_weights(tmp_path / 'bad.pth')


LAUGHS = b'(NN' + b''.join(b'\x86q%bh%b' % (bytes([place]), bytes([place])) for place in range(60)) + b'l.'


@pytest.mark.parametrize(('place', 'says'), [(1, 'its version is not 1001'), (4, 'its list of storages')])
def test_tuples_of_tuples_of_tuples_are_not_shown(place, says, tmp_path):
    pickles = [pickle.dumps(each, 2) for each in (0x1950a86a20f9469cfc6c, 1001, {}, {}, [])]
    pickles[place] = LAUGHS
    (tmp_path / 'bad.pth').write_bytes(b''.join(pickles))
    with pytest.raises(BrokenFile, match=says):
        read_weights(tmp_path / 'bad.pth')
    with using_config('lang', 'zh'), pytest.raises(BrokenFile, match=r'不是完整的 PyTorch 权重文件：(版本|存储区)'):
        read_weights(tmp_path / 'bad.pth')


ZIPS = {
    'packed': lambda file: file.writestr('a/data/0', bytes(16), zipfile.ZIP_DEFLATED),
    'too short': lambda file: file.writestr('a/data/0', bytes(15)),
    'too long': lambda file: file.writestr('a/data/0', bytes(17)),
    'no numbers': lambda file: None,
    'two pickles': lambda file: (file.writestr('a/data/0', bytes(16)), file.writestr('b/data.pkl', b'')),
    'an unknown order': lambda file: (file.writestr('a/data/0', bytes(16)), file.writestr('a/byteorder', b'middle')),
}


@pytest.mark.parametrize('kind', ZIPS)
def test_zip_files_that_are_not_as_pytorch_writes_them_are_refused(kind, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as file:
        file.writestr('a/data.pkl', dictionary(x=tensor()))
        ZIPS[kind](file)
    (tmp_path / 'a.pth').write_bytes(buffer.getvalue())
    with pytest.raises(BrokenFile):
        read_weights(tmp_path / 'a.pth')


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_two_entries_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as file:
        for name, content in (('a/data.pkl', dictionary(x=tensor())), ('a/data/0', bytes(16)), ('a/data/0', b'1' * 16)):
            file.writestr(name, content)
    with pytest.raises(BrokenFile, match='two entries have one name'):
        read_weights(tmp_path / 'a.pth')


@pytest.mark.parametrize('kind', [
    'a memory of two billion places', 'a string of many bytes', 'a long number', 'deep lists', 'far beyond',
    'a storage whose name is the file', 'a small storage shown a thousand times', 'a storage larger than it is',
    'a list copied a thousand times'])
def test_hostile_pickles_take_little_memory(kind, tmp_path):
    path = archive(tmp_path / 'bad.pth', HOSTILE[kind])
    tracemalloc.start()
    try:
        with pytest.raises(BrokenFile):
            read_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * path.stat().st_size + (16 << 20)
    finally:
        tracemalloc.stop()
