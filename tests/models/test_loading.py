"""Weights of others in models of ours: PyTorch's names and layouts, Chainer's, and what is said of a misfit."""

import numpy as np
import pytest

import nailorch.layers as L
from nailorch.models import VGG16, Model, ResNet18, Sequential

SMALL = {'width': 2, 'hidden': 6}


def vgg(num_classes=5, **options):
    net = VGG16(num_classes, **SMALL | options)
    net(np.zeros((1, 3, 32, 32), 'f'))
    return net


def assert_same(net, other, but=()):
    ours, theirs = net.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    for name in ours:
        if name not in but:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_torch_state_dict_has_pytorchs_names_and_layouts():
    state = vgg().torch_state_dict()
    assert list(state)[:2] == ['features.0.weight', 'features.0.bias']
    assert len(state) == 32
    assert state['classifier.6.weight'].shape == (5, 6)
    assert state['classifier.6.weight'].flags.c_contiguous


def test_a_model_never_called_takes_its_sizes_from_a_state_dict():
    net, fresh = vgg(), VGG16(5, **SMALL)
    assert fresh.load_torch(net.torch_state_dict()) == []
    assert_same(net, fresh)


def test_wrappers_prefixes_are_passed_over():
    net, fresh = vgg(), VGG16(5, **SMALL)
    fresh.load_torch({f'module._orig_mod.{name}': array for name, array in net.torch_state_dict().items()})
    assert_same(net, fresh)


def test_batch_norms_counts_are_optional_and_written():
    net, fresh = ResNet18(5, width=2), ResNet18(5, width=2)
    net(np.zeros((2, 3, 32, 32), 'f'))
    state = net.torch_state_dict()
    assert len(state) == 122
    assert state['bn1.num_batches_tracked'].dtype == np.int64
    fresh.load_torch({name: array for name, array in state.items() if 'num_batches' not in name})
    assert_same(net, fresh)


def test_all_that_does_not_fit_is_one_error_in_pytorchs_terms_and_nothing_is_loaded():
    net, state = vgg(), vgg().torch_state_dict()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    state['classifier.6.weight'] = np.ones((7, 6), 'f')
    state['classifier.9.weight'] = state.pop('features.0.bias')
    with pytest.raises(ValueError) as caught:
        net.load_torch(state)
    for line in ('classifier.6.weight: wrong shape (7, 6); (5, 6) is expected', 'features.0.bias: missing; (2,)',
                 'classifier.9.weight: unexpected', 'nothing was loaded'):
        assert line in str(caught.value)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_without_strict_what_fits_is_loaded_and_the_rest_returned():
    net, state = vgg(), vgg().torch_state_dict()
    state['classifier.6.weight'] = np.ones((7, 6), 'f')
    state['features.0.bias'][:] = 3
    assert net.load_torch(state, strict=False) == [
        'classifier.6.weight: wrong shape (7, 6); (5, 6) is expected']
    assert (net.conv1_1.b.data == 3).all()


def test_the_list_of_what_does_not_fit_is_bounded_and_shows_both_ends():
    with pytest.raises(ValueError, match=r'(?s)missing.*and \d+ more.*other\.499: unexpected') as caught:
        ResNet18(5, width=2).load_torch({f'other.{i}': np.zeros(2) for i in range(500)})
    assert len(str(caught.value).splitlines()) < 50


@pytest.mark.parametrize('suffix', ['.safetensors', '.npz'])
@pytest.mark.parametrize('names', ['ours', 'torch'])
def test_from_pretrained_reads_what_was_saved_under_either_names(names, suffix, tmp_path):
    net, path = vgg(), tmp_path / f'a{suffix}'
    (net.save_weights if names == 'ours' else net.save_torch)(path)
    assert_same(net, VGG16.from_pretrained(path, num_classes=5, **SMALL))
    if names == 'ours':
        fresh = VGG16(5, **SMALL)
        fresh.load_weights(path)
        assert_same(net, fresh)


@pytest.mark.parametrize('name', ['net.pth', 'net.pt', 'net.h5'])
@pytest.mark.parametrize('save', ['save_torch', 'save_weights'])
def test_a_file_of_a_kind_that_is_only_read_is_not_written_under_another_name(save, name, tmp_path):
    suffix = name.removeprefix('net')
    with pytest.raises(ValueError, match=rf'net\{suffix} is to be a \{suffix} file.*net\.safetensors'):
        getattr(vgg(3), save)(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_new_head_is_left_as_it_is_and_that_is_said(tmp_path, capsys):
    net = vgg(5)
    net.save_torch(tmp_path / 'a.safetensors')
    tuned = VGG16.from_pretrained(tmp_path / 'a.safetensors', num_classes=3, **SMALL)
    assert 'fc8' in capsys.readouterr().err
    tuned(np.zeros((1, 3, 32, 32), 'f'))
    assert tuned.fc8.W.shape == (6, 3)
    np.testing.assert_array_equal(tuned.fc7.W.data, net.fc7.W.data)


def test_only_num_classes_allows_a_new_head(tmp_path):
    vgg(5).save_torch(tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match=r'classifier\.6\.weight: wrong shape \(5, 6\); \(1000, \?\)'):
        VGG16.from_pretrained(tmp_path / 'a.safetensors', **SMALL)
    with pytest.raises(ValueError, match=r'features\.0\.weight: wrong shape'):
        VGG16.from_pretrained(tmp_path / 'a.safetensors', num_classes=3, width=4, hidden=6)


@pytest.mark.parametrize('load', ['load_torch', 'load_weights'])
def test_another_number_of_classes_names_the_remedy(load, tmp_path):
    net = vgg(5)
    (net.save_torch if load == 'load_torch' else net.save_weights)(tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match=r'(?s)wrong shape.*know 5 classes, the model 3: make the model with '
                                         r'num_classes=5; .*VGG16\.from_pretrained\(path, num_classes=3\)'):
        getattr(vgg(3), load)(tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match='know 5 classes, the model 3'):  # its sizes still unknown
        getattr(VGG16(3, **SMALL), load)(tmp_path / 'a.safetensors')


def test_classes_are_no_remedy_where_more_is_wrong(tmp_path):
    vgg(5).save_torch(tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match='wrong shape') as error:
        VGG16(3, width=4, hidden=6).load_torch(tmp_path / 'a.safetensors')
    assert 'num_classes' not in str(error.value)


def test_chainers_dense_weights_are_turned(tmp_path):
    net = vgg()
    np.savez(tmp_path / 'a.npz', **{name: array.T if name.startswith('fc') else array
                                    for name, array in net.state_dict().items()})
    assert_same(net, VGG16.from_pretrained(tmp_path / 'a.npz', num_classes=5, **SMALL))

    with pytest.raises(ValueError, match=r'fc6/W: wrong shape .*Turned it would fit: .*from_pretrained\(path\)'):
        net.load_weights(tmp_path / 'a.npz')


def test_a_layer_may_be_called_as_pytorchs_wrappers_call_theirs():
    class Around(Model):
        def __init__(self):
            super().__init__()
            self.module = L.Linear(3, in_size=4)

    weights = {'module.weight': np.ones((3, 4)), 'module.bias': np.zeros(3)}
    for names in (weights, {f'module.{name}': array for name, array in weights.items()}):
        net = Around()
        assert net.load_torch(names) == []
        assert (net.module.W.data == 1).all()


def test_the_loader_of_a_files_kind_is_named(tmp_path):
    torch = pytest.importorskip('torch')
    net = Sequential(L.Linear(3, in_size=4))
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 3)).state_dict(), tmp_path / 'a.pth')
    for load in (net.load_weights, net.load_keras):
        with pytest.raises(ValueError, match=r'a\.pth: .* of the kind torch.*model\.load_torch\(path\)'):
            load(tmp_path / 'a.pth')


def test_chainers_counts_of_batches_are_passed_over(tmp_path):
    net = ResNet18(5, width=2)
    net(np.zeros((2, 3, 32, 32), 'f'))
    arrays = {name: array.T if name == 'fc/W' else array for name, array in net.state_dict().items()}
    np.savez(tmp_path / 'a.npz', **arrays, **{'bn1/N': np.array(3)})
    assert_same(net, ResNet18.from_pretrained(tmp_path / 'a.npz', num_classes=5, width=2))


def test_strict_is_told_of_only_where_it_can_be_said(tmp_path):
    vgg().save_weights(tmp_path / 'a.npz')
    with pytest.raises(ValueError, match=r'nothing was loaded\n  conv1_1/W: wrong shape') as caught:
        VGG16.from_pretrained(tmp_path / 'a.npz', num_classes=5, width=4, hidden=6)
    with pytest.raises(ValueError, match=r'nothing was loaded \(strict=False loads what fits\)\n'):
        VGG16(5, width=4, hidden=6).load_weights(tmp_path / 'a.npz')
    assert 'strict=False' not in str(caught.value)


def test_a_folder_is_told_from_a_file_of_weights(tmp_path):
    (tmp_path / 'config.toml').write_text('')
    for name in ('a.pth', 'best.safetensors'):
        (tmp_path / name).write_bytes(b'')
    for read in (VGG16.from_pretrained, VGG16().load_weights, VGG16().load_torch):
        with pytest.raises(FileNotFoundError, match=r'this is a folder; .*; it holds .*best\.safetensors$'):
            read(tmp_path)


def test_from_pretrained_names_what_is_missing():
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth: there is no such file.*\n.*vgg16-397923af\.pth'):
        VGG16.from_pretrained('nothing.pth')
    with pytest.raises(ValueError, match='Sequential: no trained weights are known'):
        Sequential.from_pretrained()


def test_sequentials_numbers_are_pytorchs():
    net = Sequential(L.Conv2d(2, 3, in_channels=3), Sequential(L.Linear(4, in_size=5)))
    assert list(net.torch_state_dict()) == ['0.weight', '0.bias', '1.0.weight', '1.0.bias']


@pytest.mark.parametrize('form', ['zip', 'legacy', 'safetensors'])
def test_pytorch_and_we_read_each_others_files(form, tmp_path):
    torch = pytest.importorskip('torch')
    from safetensors.torch import load_file
    peer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
                               torch.nn.Linear(64, 2), torch.nn.ConvTranspose2d(2, 3, 2), torch.nn.LayerNorm(5),
                               torch.nn.GroupNorm(2, 4), torch.nn.Embedding(7, 3))
    net = Sequential(L.Conv2d(4, 3), L.BatchNorm(), L.Flatten(), L.Linear(2), L.Deconv2d(3, 2), L.LayerNorm(),
                     L.GroupNorm(2), L.EmbedID(7, 3))
    path = tmp_path / 'a'
    if form == 'safetensors':
        net.load_torch({name: tensor.numpy() for name, tensor in peer.state_dict().items()})
    else:
        torch.save(peer.state_dict(), path, _use_new_zipfile_serialization=form == 'zip')
        net.load_torch(path)
    net.save_torch(tmp_path / 'b.safetensors')
    found = load_file(tmp_path / 'b.safetensors')
    for name, tensor in peer.state_dict().items():
        assert torch.equal(found[name], tensor), name
    assert not any(peer.load_state_dict(found))
