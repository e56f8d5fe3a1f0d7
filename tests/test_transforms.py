"""Transforms, against NumPy, Pillow, and numbers worked by hand."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from nailorch import rng
from nailorch import transforms as T
from nailorch.config import using_config


def photo(H=6, W=8, mode='RGB'):
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (H, W, 3), np.uint8)).convert(mode)


def array(C=3, H=6, W=8, dtype=np.float32):
    return np.random.default_rng(1).integers(0, 256, (C, H, W)).astype(dtype)


def planes(image):
    return np.asarray(image).transpose(2, 0, 1)


ALL = [T.Resize(4), T.CenterCrop(4), T.RandomCrop(4, pad=2), T.RandomHorizontalFlip(1), T.RandomRotation((20, 30)),
       T.Normalize([1, 2, 3], 2), T.Flatten(), T.AsType(np.float64), T.ToInt(), T.ToArray(), T.ToPIL()]


@pytest.mark.parametrize('transform', ALL, ids=repr)
def test_transforms_leave_an_array_as_it_was(transform):
    image = array()
    image.flags.writeable = False
    before = image.copy()
    transform(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('transform', [*ALL[:5], T.Convert('BGR'), T.ColorJitter(1, 1, 1, 0.5), T.ToArray()], ids=repr)
def test_transforms_leave_a_picture_as_it_was(transform):
    image = photo()
    transform(image)
    np.testing.assert_array_equal(image, photo())


@pytest.mark.parametrize('transform', ALL[:5], ids=repr)
@pytest.mark.parametrize('dtype', [np.uint8, np.float16, np.float32, np.float64])
def test_geometry_keeps_an_arrays_dtype(transform, dtype):
    assert transform(array(dtype=dtype)).dtype == dtype


@pytest.mark.parametrize('transform', [T.Resize((4, 5)), T.CenterCrop((4, 5)), T.RandomHorizontalFlip(1),
                                       T.RandomRotation((90, 90), 'nearest')], ids=repr)
def test_geometry_does_the_same_to_pictures_and_arrays(transform):
    from_array = transform(planes(photo()))
    np.testing.assert_allclose(from_array, planes(transform(photo())), atol=1)  # Pillow rounds twice for bytes


def test_compose_goes_from_left_to_right():
    assert T.Compose([lambda x: x + 1, lambda x: x * 2])(3) == 8
    assert T.Compose()(3) == 3


def test_repr_shows_the_settings():
    transform = T.Compose([T.Flatten(), T.Normalize(0.0, 255.0)])
    assert repr(transform) == 'Compose(transforms=[Flatten(), Normalize(mean=0.0, std=255.0)])'


# ---- sizes


def test_resize_takes_height_then_width():
    assert T.Resize((3, 5))(photo()).size == (5, 3)
    assert T.Resize((3, 5))(array()).shape == (3, 3, 5)
    assert T.Resize(4)(photo()).size == (4, 4)


@pytest.mark.parametrize('mode', ['nearest', 'bilinear', 'bicubic', 'lanczos', 'box', 'hamming'])
def test_resize_is_pillows(mode):
    number = Image.Resampling[mode.upper()]
    expected = photo().resize((5, 3), number)
    np.testing.assert_array_equal(T.Resize((3, 5), mode)(photo()), expected)
    np.testing.assert_array_equal(T.Resize((3, 5), number)(photo()), expected)


@pytest.mark.parametrize('H, W, shorter, size', [(6, 8, 3, (3, 4)), (8, 6, 5, (6, 5)), (100, 300, 3, (3, 9))])
def test_resize_keeps_the_ratio(H, W, shorter, size):
    assert T.Resize(shorter, keep_ratio=True)(photo(H, W)).size == size[::-1]


def test_resize_halves_by_the_mean_of_four():
    image = np.float32([[[0, 2, 10, 10], [4, 6, 10, 30]]])
    np.testing.assert_allclose(T.Resize((1, 2), 'box')(image), [[[3, 15]]])


def test_resize_clips_what_overshoots():
    edge = np.zeros((1, 8, 8), np.uint8)
    edge[:, :, 4:] = 255
    expected = Image.fromarray(edge[0]).resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(T.Resize(32, 'lanczos')(edge)[0], expected)


@pytest.mark.parametrize('make', [
    lambda: T.Resize(0), lambda: T.CenterCrop((3, -1)), lambda: T.Resize((1, 2, 3)), lambda: T.Resize('4'),
    lambda: T.Resize(3, 'cubic'), lambda: T.Resize(3, 9), lambda: T.RandomRotation(5, 'lanczos'),
    lambda: T.Resize((3, 4), keep_ratio=True), lambda: T.RandomHorizontalFlip(1.1), lambda: T.RandomRotation((3, 2)),
    lambda: T.ColorJitter(-1), lambda: T.ColorJitter(hue=0.6), lambda: T.Normalize(0, [1, 0, 1])])
def test_settings_that_make_no_sense_are_refused(make):
    with pytest.raises(ValueError):
        make()


# ---- crops and flips


@pytest.mark.parametrize('H, OH, top', [(6, 4, 1), (7, 4, 1), (6, 3, 1), (5, 5, 0)])
def test_center_crop_takes_the_middle(H, OH, top):
    image = array(H=H)
    np.testing.assert_array_equal(T.CenterCrop((OH, 2))(image), image[:, top:top + OH, 3:5])
    np.testing.assert_array_equal(T.CenterCrop((OH, 2))(photo(H)), np.asarray(photo(H))[top:top + OH, 3:5])


@pytest.mark.parametrize('crop', [T.CenterCrop, T.RandomCrop])
@pytest.mark.parametrize('image', [photo(), array()], ids=['picture', 'array'])
def test_crop_rejects_an_image_that_is_smaller(crop, image):
    with pytest.raises(ValueError, match=r'\(7, 4\) \(height, width\) does not fit into an image of \(6, 8\)'):
        crop((7, 4))(image)


def test_random_crop_comes_to_every_place_alike():
    image = np.arange(20).reshape(1, 4, 5)
    corners = [int(T.RandomCrop((2, 4))(image)[0, 0, 0]) for _ in range(1200)]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 5, 6, 10, 11]
    assert counts.min() > 150 and counts.max() < 250  # 200 each, 13 a standard deviation


@pytest.mark.parametrize('image', [photo(), planes(photo())], ids=['picture', 'array'])
def test_random_crop_pads_all_sides(image):
    rng.seed(4)
    got = T.RandomCrop((8, 10), pad=1, fill=9)(image)
    expected = np.pad(planes(photo()), ((0, 0), (1, 1), (1, 1)), constant_values=9)
    np.testing.assert_array_equal(got if isinstance(got, np.ndarray) else planes(got), expected)


def test_random_crop_moves_pictures_and_arrays_alike():
    rng.seed(4)
    crops = [T.RandomCrop(4, pad=2)(photo()) for _ in range(5)]
    rng.seed(4)
    for crop in crops:
        np.testing.assert_array_equal(T.RandomCrop(4, pad=2)(planes(photo())), planes(crop))


@pytest.mark.parametrize('image', [photo(), planes(photo())], ids=['picture', 'array'])
def test_flip_mirrors_half_of_the_images(image):
    flip, plain = T.RandomHorizontalFlip(), np.asarray(image)
    mirrored = plain[:, ::-1] if plain.shape[-1] == 3 else plain[..., ::-1]
    flipped = [np.array_equal(flip(image), mirrored) for _ in range(400)]
    assert 160 < sum(flipped) < 240  # 200, 10 a standard deviation; an ancestor's did nothing
    np.testing.assert_array_equal(T.RandomHorizontalFlip(1)(image), mirrored)
    np.testing.assert_array_equal(T.RandomHorizontalFlip(0)(image), plain)


@pytest.mark.parametrize('transform', [T.RandomHorizontalFlip(), T.CenterCrop(2), T.Resize(2), T.RandomRotation(3)])
def test_geometry_of_a_flattened_image_is_refused(transform):
    with pytest.raises(ValueError, match=r'got an array \(784,\); Flatten\(\) comes last'):
        transform(np.zeros(784))


# ---- rotation


def test_rotation_of_a_quarter_is_numpys():
    square = array(H=6, W=6)
    np.testing.assert_array_equal(T.RandomRotation((90, 90))(square), np.rot90(square, axes=(1, 2)))


def test_rotation_draws_angles_from_both_sides():
    angles = []

    class Probe:
        mode = 'L'

        def getbands(self):
            return ('L',)

        def rotate(self, angle, *_, **__):
            angles.append(angle)

    for _ in range(300):
        T.RandomRotation(30)(Probe())
    assert -30 <= min(angles) < -25 and 25 < max(angles) <= 30


@pytest.mark.parametrize('image, corner', [
    (array(dtype=np.uint8), [7, 7, 7]), (array(), [7, 7, 7]), (photo(), (7, 7, 7)), (photo(mode='L'), 7)])
def test_rotation_fills_the_corners(image, corner):
    turned = T.RandomRotation((45, 45), fill=7)(image)
    if isinstance(turned, np.ndarray):
        assert turned[:, 0, 0].tolist() == corner
    else:
        assert turned.getpixel((0, 0)) == corner


# ---- colours


def test_convert_to_bgr_swaps_red_and_blue():
    np.testing.assert_array_equal(T.Convert('BGR')(photo()), np.asarray(photo())[..., ::-1])
    assert T.Convert('L')(photo()).mode == 'L'


@pytest.mark.parametrize('name, enhance', [
    ('brightness', ImageEnhance.Brightness), ('contrast', ImageEnhance.Contrast), ('saturation', ImageEnhance.Color)])
def test_jitter_is_pillows_by_a_factor_within_bounds(name, enhance):
    rng.seed(2)
    got = [T.ColorJitter(**{name: 0.4})(photo()) for _ in range(20)]
    rng.seed(2)
    factors = [rng.generator().uniform(0.6, 1.4) for _ in range(20)]
    for image, factor in zip(got, factors, strict=True):
        np.testing.assert_array_equal(image, enhance(photo()).enhance(factor))


def test_jitter_of_hue_turns_the_colour_circle():
    """Half a turn makes red cyan; a third of one, green or blue."""
    red = Image.new('RGB', (1, 1), (255, 0, 0))
    seen = {T.ColorJitter(hue=0.5)(red).getpixel((0, 0)) for _ in range(300)}
    assert max(g for r, g, b in seen) > 240 and max(b for r, g, b in seen) > 240
    assert all(max(pixel) == 255 and min(pixel) == 0 for pixel in seen)  # as bright and as pure as before


def test_jitter_leaves_grey_without_hue():
    grey = photo(mode='L')
    np.testing.assert_array_equal(T.ColorJitter(hue=0.5)(grey), grey)


def test_jitter_of_nothing_changes_nothing():
    np.testing.assert_array_equal(T.ColorJitter()(photo()), photo())


def test_jitter_takes_pictures_only():
    with pytest.raises(TypeError, match='before ToArray'):
        T.ColorJitter(0.1)(array())


# ---- arrays from pictures and back


@pytest.mark.parametrize('mode, shape', [('RGB', (3, 6, 8)), ('L', (1, 6, 8)), ('1', (1, 6, 8)), ('P', (3, 6, 8)),
                                         ('RGBA', (4, 6, 8))])
def test_to_array_puts_channels_first(mode, shape):
    values = T.ToArray()(photo(mode=mode))
    assert values.shape == shape and values.dtype == np.float32 and values.flags.c_contiguous
    assert values.max() > 200


def test_to_array_keeps_values_and_casts():
    np.testing.assert_array_equal(T.ToArray(np.uint8)(photo()), planes(photo()))
    assert T.ToArray(np.float64)(array()).dtype == np.float64


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA'])
def test_to_pil_undoes_to_array(mode):
    back = T.ToPIL()(T.ToArray()(photo(mode=mode)))
    assert back.mode == mode
    np.testing.assert_array_equal(back, photo(mode=mode))


def test_to_pil_rounds_and_clips():
    image = T.ToPIL()(np.array([[-3., 0.6], [254.4, 300.]]))
    assert np.asarray(image).tolist() == [[0, 1], [254, 255]]


@pytest.mark.parametrize('shape', [(2, 4, 4), (4,), (1, 1, 4, 4)])
def test_to_pil_names_a_shape_that_is_no_image(shape):
    with pytest.raises(ValueError, match='1, 3 or 4 channels'):
        T.ToPIL()(np.zeros(shape))


# ---- numbers


def test_normalize_by_one_number():
    np.testing.assert_array_equal(T.Normalize(1, 2)(np.float32([3, 5])), np.float32([1, 2]))


@pytest.mark.parametrize('shape', [(3, 2, 2), (5, 3, 2, 2)])
def test_normalize_channel_by_channel(shape):
    got = T.Normalize([0, 1, 2], (1, 2, 4))(np.full(shape, 10., np.float32))
    for channel, value in enumerate([10, 4.5, 2]):
        assert (got[..., channel, :, :] == value).all()


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
@pytest.mark.parametrize('mean', [0.5, [0.5], np.float64(0.5), np.full(3, 0.5)], ids=repr)
def test_normalize_keeps_a_float_dtype(dtype, mean):
    assert T.Normalize(mean, 0.5)(np.zeros((3, 2, 2), dtype)).dtype == dtype


def test_normalize_makes_whole_numbers_float():
    got = T.Normalize(5, 2)(np.uint8([1, 255]))
    assert got.dtype == np.float32 and got.tolist() == [-2, 125]
    with using_config('dtype', np.float64):
        assert T.Normalize()(np.uint8([1])).dtype == np.float64


@pytest.mark.parametrize('shape', [(4, 2, 2), (3,), (2, 3)])
def test_normalize_names_channels_that_do_not_fit(shape):
    with pytest.raises(ValueError, match='3 numbers, one for each channel'):
        T.Normalize([1, 2, 3])(np.zeros(shape))


def test_flatten_and_casts():
    image = array()
    np.testing.assert_array_equal(T.Flatten()(image), image.ravel())
    assert T.AsType(np.float16)(image).dtype == np.float16
    assert T.ToFloat()(image.astype(np.uint8)).dtype == np.float32
    assert T.ToInt()(image).dtype == np.dtype(int)


def test_random_transforms_follow_the_seed():
    augment = T.Compose([T.RandomCrop(4, pad=2), T.RandomHorizontalFlip(), T.RandomRotation(30)])
    rng.seed(1)
    first = [augment(array()) for _ in range(5)]
    rng.seed(1)
    for image in first:
        np.testing.assert_array_equal(augment(array()), image)
    assert not np.array_equal(first[0], first[1])
