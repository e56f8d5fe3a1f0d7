"""Pictures of every kind, and files that are none."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nailorch.config import using_config
from nailorch.formats.images import read_image


def saved(tmp_path, image, name='picture.png', **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def colour(image):
    return image.getpixel((0, 0))


def test_read_image_gives_rgb(tmp_path):
    image = read_image(saved(tmp_path, Image.new('RGB', (3, 2), (1, 2, 3))))
    assert (image.mode, image.size, colour(image)) == ('RGB', (3, 2), (1, 2, 3))


@pytest.mark.parametrize('image, expected', [
    (Image.new('L', (2, 2), 77), (77, 77, 77)),
    (Image.new('1', (2, 2), 1), (255, 255, 255)),
    (Image.new('RGB', (2, 2), (9, 99, 200)).quantize(), (9, 99, 200)),
    (Image.new('RGBA', (2, 2), (10, 20, 30, 255)), (10, 20, 30)),
    (Image.new('RGBA', (2, 2), (0, 0, 0, 0)), (255, 255, 255)),
    (Image.new('RGBA', (2, 2), (0, 0, 0, 51)), (204, 204, 204)),
    (Image.new('LA', (2, 2), (0, 0)), (255, 255, 255)),
], ids=['grey', 'bits', 'palette', 'opaque', 'transparent', 'fifth', 'grey transparent'])
def test_read_image_of_any_mode(tmp_path, image, expected):
    assert colour(read_image(saved(tmp_path, image))) == expected


def test_read_image_shows_a_transparent_palette_on_white(tmp_path):
    image = Image.new('P', (2, 2))
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((1, 1), 1)
    picture = read_image(saved(tmp_path, image, transparency=0))
    assert colour(picture) == (255, 255, 255) and picture.getpixel((1, 1)) == (200, 0, 0)


@pytest.mark.parametrize('name', ['deep.png', 'deep.tif'])
def test_read_image_scales_16_bits_to_8(tmp_path, name):
    levels = np.array([[0, 512, 32896, 65535]], np.uint16)
    picture = read_image(saved(tmp_path, Image.fromarray(levels), name))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 1, 128, 255]  # convert() alone gives 0, 255, 255, 255


@pytest.mark.parametrize('name', ['ink.jpg', 'ink.tif'])
def test_read_image_of_printing_inks(tmp_path, name):
    ink = Image.new('CMYK', (8, 8), (0, 255, 255, 0))  # magenta and yellow make red
    assert colour(read_image(saved(tmp_path, ink, name))) == (255, 0, 0)


@pytest.mark.parametrize('image, name, expected', [
    (Image.fromarray(np.full((2, 2), 32896, '>u2')), 'big.tif', 128),
    (Image.new('1', (2, 2), 1), 'bits.tif', 255),
], ids=['big-endian', 'bits'])
def test_read_image_of_other_tiffs(tmp_path, image, name, expected):
    assert colour(read_image(saved(tmp_path, image, name))) == (expected,) * 3


@pytest.mark.parametrize('kind, channels, expected', [(0, 1, 128), (2, 3, 128), (4, 2, 191), (6, 4, 191)],
                         ids=['grey', 'rgb', 'grey half transparent', 'rgb half transparent'])
def test_read_image_of_16_bit_png_of_every_kind(tmp_path, kind, channels, expected):
    """Written here by hand, since Pillow reads more kinds than it writes; 32896 is half of 65535."""
    def chunk(name, content):
        return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))

    rows = 2 * (b'\0' + struct.pack('>H', 32896) * 2 * channels)
    header = struct.pack('>IIBBBBB', 2, 2, 16, kind, 0, 0, 0)
    (tmp_path / 'deep.png').write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
                                        + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
    assert colour(read_image(tmp_path / 'deep.png')) == (expected,) * 3


def test_read_image_shows_a_transparent_colour_on_white(tmp_path):
    path = saved(tmp_path, Image.new('RGB', (2, 2), (1, 2, 3)), transparency=(1, 2, 3))
    assert colour(read_image(path)) == (255, 255, 255)


def test_read_image_refuses_a_text_that_unpacks_to_far_more(tmp_path):
    words = PngInfo()
    words.add_itxt('a', 'b' * (1 << 25), zip=True)
    path = saved(tmp_path, Image.new('RGB', (2, 2)), pnginfo=words)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ValueError, match=r'picture\.png: not an image, or broken'):
        read_image(path)


def test_read_image_of_32_bit_grey(tmp_path):
    assert colour(read_image(saved(tmp_path, Image.new('I', (1, 1), 65535), 'a.tif'))) == (255, 255, 255)
    with pytest.raises(ValueError, match='from 70000 to 70000, not 0 to 65535'):
        read_image(saved(tmp_path, Image.new('I', (1, 1), 70000), 'b.tif'))


def test_read_image_does_not_guess_the_range_of_floats(tmp_path):
    with pytest.raises(ValueError, match=r'picture\.tif: .*whose range is unknown'):
        read_image(saved(tmp_path, Image.new('F', (1, 1), 0.5), 'picture.tif'))


def test_read_image_turns_it_as_the_camera_was_held(tmp_path):
    image = Image.new('RGB', (4, 2), 'black')
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    picture = read_image(saved(tmp_path, image, exif=exif))
    assert picture.size == (2, 4)
    assert picture.getpixel((1, 0)) == (255, 255, 255)


def test_read_image_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'cat\.png: there is no such file'):
        read_image(tmp_path / 'cat.png')


@pytest.mark.parametrize('kind', ['png', 'jpg', 'gif', 'tif', 'bmp', 'webp'])
def test_read_image_names_a_truncated_file(tmp_path, kind):
    name = f'picture.{kind}'
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    path = saved(tmp_path, noise, name)
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f'{name}: not an image, or broken'):
        read_image(path)


@pytest.mark.parametrize('content', [b'', b'hello', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'\xff\xd8\xff\xe0'])
def test_read_image_names_what_is_no_image(tmp_path, content):
    (tmp_path / 'no.png').write_bytes(content)
    with pytest.raises(ValueError, match=r'no\.png: not an image, or broken'):
        read_image(tmp_path / 'no.png')


def test_read_image_survives_random_damage(tmp_path):
    """Whatever bytes are changed, there is an image or the one error."""
    random = np.random.default_rng(0)
    for kind in ('PNG', 'JPEG', 'GIF', 'BMP'):
        data = io.BytesIO()
        photo(random).save(data, kind)
        for _ in range(60):
            broken = bytearray(data.getvalue())
            for place in random.integers(0, len(broken), 4):
                broken[place] = random.integers(0, 256)
            (tmp_path / 'broken').write_bytes(broken)
            try:
                assert read_image(tmp_path / 'broken').mode == 'RGB'
            except ValueError as error:
                assert 'broken' in str(error)


def photo(random):
    return Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8))


@pytest.mark.parametrize('side, megapixels', [(9000, '81.0'), (10000, '100.0'), (20000, '400.0')])
def test_read_image_refuses_more_than_64_megapixels(tmp_path, side, megapixels):
    path = saved(tmp_path, Image.new('1', (side, side)))
    with pytest.raises(ValueError, match=f'picture.png: {megapixels} megapixels; images of up to 64 are read'):
        read_image(path)


@pytest.mark.skipif(os.name != 'posix', reason='the program that must not run is a shell script')
def test_read_image_starts_no_program(tmp_path, monkeypatch):
    """Pillow hands PostScript, whatever the file is called, to Ghostscript."""
    ghostscript = tmp_path / 'gs'
    ghostscript.write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\n')
    ghostscript.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    path = tmp_path / 'cat.png'
    path.write_text('%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n')
    with pytest.raises(ValueError, match=r'cat\.png.*EPS: no pixels'):
        read_image(path)
    assert not (tmp_path / 'ran').exists()


def test_a_picture_that_is_cut_short_says_so_in_both_languages(tmp_path):
    path = tmp_path / 'cut.jpg'
    Image.effect_noise((200, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    for lang, said in ('en', 'it is cut short'), ('zh', '文件不完整'):
        with using_config('lang', lang), pytest.raises(ValueError, match=said):
            read_image(path)
