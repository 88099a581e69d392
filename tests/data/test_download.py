"""Downloading from a real server on this machine."""

import errno
import gzip
import hashlib
import http.server
import io
import shutil
import socket
import struct
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from datafiles import NAMES, md5s_of, official_as, write_archive, write_dataset

from svmcifar.data import download
from svmcifar.data.download import download_dataset
from svmcifar.data.registry import open_dataset
from svmcifar.errors import DataError, OutputError

ARCHIVE_NAME = "cifar-100-python.tar.gz"


class ArchiveServer(http.server.ThreadingHTTPServer):
    """Serves one file and remembers what was asked for; tests change its manners."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), ArchiveHandler)
        self.content = content
        self.sends_length = True
        self.stops_after = None
        self.status = None
        self.n_requests = 0
        self.meeting = None
        self.hostile = None
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/{ARCHIVE_NAME}"


class ArchiveHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.n_requests += 1
        if server.hostile and self.path != "/elsewhere":
            server.hostile(self, server.content)
            self.close_connection = True
            return
        if server.status:
            self.send_error(server.status)
            return
        self.send_response(200)
        if server.sends_length:
            self.send_header("Content-Length", str(len(server.content)))
        self.end_headers()
        if server.meeting:
            server.meeting.wait(10)
        self.wfile.write(server.content[: server.stops_after])

    def log_message(self, *args):
        pass


@contextmanager
def serving(content):
    server = ArchiveServer(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A data set as it should arrive; without SYNTHETIC.md5, like the official one."""
    folder = write_dataset(tmp_path_factory.mktemp("original") / "data", synthetic=False)
    (folder / "readme.html").write_text("not a data file")
    return folder


@pytest.fixture(scope="module")
def packed(original):
    return write_archive(original, original.parent / ARCHIVE_NAME).read_bytes()


@pytest.fixture
def server(packed):
    with serving(packed) as server:
        yield server


@pytest.fixture
def fetch(server, original, tmp_path):
    """Download from the server into tmp_path / "data", as if the tiny data set were official."""

    def fetch(changes=None, **options):
        options = {"progress": False, "timeout_s": 5.0} | options
        told = {
            "archive_url": server.url,
            "archive_md5": hashlib.md5(server.content).hexdigest(),
            "archive_bytes": len(server.content),
        }
        description = official_as(original, **(told | (changes or {})))
        return download_dataset(tmp_path / "data", description=description, **options)

    return fetch


def assert_complete(target, original):
    assert target.name == "cifar-100-python"
    assert sorted(path.name for path in target.iterdir()) == sorted(NAMES)
    assert md5s_of(target) == md5s_of(original)
    assert not [p for p in target.parent.iterdir() if p.name.startswith(".") or "part" in p.name]
    assert open_dataset(target, check_md5=False).read_split("test").images.shape == (100, 3072)


def message_of(fetch, error=DataError, **options):
    with pytest.raises(error) as caught:
        fetch(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_download(fetch, server, original):
    assert_complete(fetch(), original)
    assert server.n_requests == 1


def test_server_that_tells_no_length(fetch, server, original):
    server.sends_length = False
    assert_complete(fetch(), original)


def test_good_copy_is_left_alone(fetch, server, capsys):
    target = fetch()
    times = [(target / name).stat().st_mtime_ns for name in NAMES]
    assert fetch(progress=True) == target
    assert "already" in capsys.readouterr().err
    assert [(target / name).stat().st_mtime_ns for name in NAMES] == times
    assert server.n_requests == 1


def test_good_archive_is_used(fetch, server, original, packed, tmp_path):
    archive = tmp_path / "data" / ARCHIVE_NAME
    archive.parent.mkdir()
    archive.write_bytes(packed)
    assert_complete(fetch(), original)
    assert server.n_requests == 0
    assert archive.read_bytes() == packed


@pytest.mark.parametrize("synthetic", [False, True])
def test_other_data_set_is_moved_aside(fetch, original, tmp_path, capsys, synthetic):
    for seed in (1, 2):
        other = write_dataset(tmp_path / "data" / "cifar-100-python", seed, synthetic)
        sums = md5s_of(other)
        assert_complete(fetch(progress=True), original)
        aside = tmp_path / "data" / f"cifar-100-python.old-{seed}"
        assert md5s_of(aside) == sums
        assert str(aside) in capsys.readouterr().err


def test_interrupted_transfer_leaves_nothing(fetch, server, original, packed, tmp_path):
    server.stops_after = 1000
    message = message_of(fetch)
    assert message.startswith(server.url)
    assert f"1000 bytes read, {len(packed) - 1000} more expected" in message
    assert list(tmp_path.iterdir()) == []
    server.stops_after = None
    assert_complete(fetch(), original)


def test_interrupted_transfer_keeps_what_stood_there(fetch, server, tmp_path):
    other = write_dataset(tmp_path / "data" / "cifar-100-python", seed=1)
    sums = md5s_of(other)
    server.stops_after = 1000
    message_of(fetch)
    assert md5s_of(other) == sums
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-100-python"]


def test_interrupted_unpacking_leaves_nothing(fetch, tmp_path, monkeypatch):
    def stop(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.Path, "write_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch()
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_line(fetch, tmp_path, monkeypatch):
    def fill(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.Path, "write_bytes", fill)
    assert "No space left on device" in message_of(fetch, OutputError)
    assert list(tmp_path.iterdir()) == []


def answer(handler, headers, body=b"", status="200 OK"):
    """Send an answer as it is, whatever it claims; the client may go away."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""]
    with suppress(OSError):
        handler.wfile.write("\r\n".join(lines).encode("latin-1") + body)
        handler.wfile.flush()


def chunked(content):
    pieces = [content[i : i + 4096] for i in range(0, len(content), 4096)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def length(n_bytes):
    return [f"Content-Length: {n_bytes}"]


def stall(handler, content):
    answer(handler, length(len(content)), content[:1000])
    handler.server.closing.wait(10)


def trickle(handler, content):
    """Send now and then a byte, so that no reading of the socket takes long."""
    answer(handler, length(len(content)))
    for byte in content:
        if handler.server.closing.wait(0.02):
            break
        with suppress(OSError):
            handler.wfile.write(bytes([byte]))


def trickle_headers(handler, content):
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not handler.server.closing.wait(0.02):
            handler.wfile.write(b"y")


def trickle_size_of_a_chunk(handler, content):
    answer(handler, ["Transfer-Encoding: chunked"], b"1\r\nx\r\n")
    with suppress(OSError):
        while not handler.server.closing.wait(0.02):
            handler.wfile.write(b"0")


def reset(handler, content):
    answer(handler, length(len(content)), content[:1000])
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def send_without_end(handler, content):
    answer(handler, ["Transfer-Encoding: chunked"])
    with suppress(OSError):
        while not handler.server.closing.is_set():
            handler.wfile.write(b"10000\r\n%s\r\n" % bytes(2**16))


def send_headers_without_end(handler, content):
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not handler.server.closing.is_set():
            handler.wfile.write(b"X: y\r\n" * 1000)


def redirecting(place):
    return lambda handler, content: answer(
        handler, [f"Location: {place}", *length(0)], status="302 Found"
    )


def saying(headers, change=lambda content: content, status="200 OK"):
    def hostile(handler, content):
        lines = headers(content) if callable(headers) else headers
        answer(handler, lines, change(content), status)

    return hostile


# Each with words of what is said of it.
HOSTILE = {
    "stops-early": (saying(lambda c: length(len(c)), lambda c: c[:1000]), "1000 bytes read"),
    "stops-early-and-tells-no-length": (saying([], lambda c: c[:1000]), "1000 of "),
    "stops-in-a-chunk": (
        saying(["Transfer-Encoding: chunked"], lambda c: chunked(c)[:3000]), "IncompleteRead",
    ),
    "stalls": (stall, "timed out"),
    "trickles": (trickle, "less than 1000 bytes a second"),
    "trickles-headers": (trickle_headers, "less than 1000 bytes a second"),
    "trickles-the-size-of-a-chunk": (trickle_size_of_a_chunk, "less than 1000 bytes a second"),
    "resets": (reset, "reset by peer"),
    "claims-to-be-longer": (saying(lambda c: length(len(c) + 9)), "9 more expected"),
    "claims-to-be-shorter": (saying(lambda c: length(len(c) - 9)), " of "),
    "is-longer": (saying([], lambda c: c + b"more"), "more than the"),
    "sends-a-part": (
        saying(
            lambda c: [f"Content-Range: bytes 9-{len(c) - 1}/{len(c)}"],
            lambda c: c[9:],
            "206 Partial Content",
        ),
        " of ",
    ),
    "sends-another-range": (
        saying(
            lambda c: [f"Content-Range: bytes 0-{len(c) - 1}/{len(c)}"],
            lambda c: c[9:] + c[:9],
            "206 Partial Content",
        ),
        "its md5 is",
    ),
    "refuses-a-range": (saying(length(0), status="416 Range Not Satisfiable"), "416"),
    "redirects-in-a-circle": (redirecting(f"/{ARCHIVE_NAME}"), "30 redirects"),
    "redirects-to-a-file": (redirecting("file:///etc/hostname"), "file:///etc/hostname"),
    "redirects-to-another-scheme": (redirecting("ftp://127.0.0.1/x"), "ftp://127.0.0.1/x"),
    "redirects-to-nonsense": (redirecting("http://[/"), "IPv6"),
    "redirects-nowhere": (saying(length(0), status="302 Found"), "0 of "),
    "sends-other-bytes": (saying([], lambda c: c[:-1] + b"?"), "its md5 is"),
    "has-no-end": (send_without_end, "more than the"),
    "has-endless-headers": (send_headers_without_end, "headers"),
    "compresses": (saying(["Content-Encoding: gzip"], lambda c: gzip.compress(c)), "the"),
    "is-a-bomb": (saying(["Content-Encoding: gzip"], lambda c: BOMB), "the"),
    "says-no-http": (lambda handler, content: handler.wfile.write(b"\0\x1b[2J\n" * 9), "the"),
    "is-rude": (saying(length(0), status="500 \x1b[2J\x07Sorry"), r"\x1b[2J"),
    "is-silent": (lambda handler, content: None, "without response"),
}  # fmt: skip
BOMB = gzip.compress(bytes(2**24))


@pytest.mark.parametrize("manners", HOSTILE)
def test_hostile_server(fetch, server, original, tmp_path, manners):
    """One line and nothing left; the next download gets all."""
    server.hostile, words = HOSTILE[manners]
    message = message_of(fetch, timeout_s=0.3)
    assert message.startswith(server.url)
    assert words in message
    assert message.isprintable()
    assert list(tmp_path.iterdir()) == []
    server.hostile = None
    assert_complete(fetch(), original)


@pytest.mark.parametrize(
    "strange",
    [
        saying(["Transfer-Encoding: chunked"], chunked),
        saying(lambda c: ["Content-Encoding: x-gzip", *length(len(c))]),  # of a .tar.gz it is
        saying(["Content-Length: many"]),
        redirecting("/elsewhere"),
    ],
    ids=["chunked", "says-that-it-is-gzip", "tells-no-number", "redirects"],
)
def test_strange_server(fetch, server, original, strange):
    server.hostile = strange
    assert_complete(fetch(), original)


def test_wrong_archive_md5(fetch, packed, tmp_path):
    message = message_of(fetch, changes={"archive_md5": "0" * 32})
    assert "0" * 32 in message
    assert hashlib.md5(packed).hexdigest() in message
    assert list(tmp_path.iterdir()) == []


def test_wrong_file_in_the_archive_never_arrives(fetch, original, tmp_path):
    files = official_as(original).files
    message = message_of(
        fetch, changes={"files": {**files, "test": files["test"]._replace(md5="0" * 32)}}
    )
    assert "'test'" in message
    assert list(tmp_path.iterdir()) == []


def test_archive_cannot_write_elsewhere(fetch, server, original, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in NAMES:
            tar.add(original / name, f"cifar-100-python/{name}")
        for name in ("../train", "/absolute/train", "cifar-100-python/../../test", "other/meta"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-100-python/meta")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    server.content = buffer.getvalue()
    assert_complete(fetch(), original)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("other", [False, True])
def test_two_downloads_into_one_folder(fetch, server, original, tmp_path, other):
    if other:
        write_dataset(tmp_path / "data" / "cifar-100-python", seed=1)
    for _ in range(3):
        server.meeting = threading.Barrier(2)  # both have asked before the first gets anything
        with ThreadPoolExecutor(2) as pool:
            targets = [task.result() for task in [pool.submit(fetch) for _ in range(2)]]
        for target in targets:
            assert_complete(target, original)
        names = ["cifar-100-python"] + ["cifar-100-python.old-1"] * other
        assert sorted(path.name for path in (tmp_path / "data").iterdir()) == names
        shutil.rmtree(targets[0])


def test_archive_that_is_none(fetch, server, tmp_path):
    server.content = b"<html>Please log in.</html>"
    assert "archive" in message_of(fetch)
    assert list(tmp_path.iterdir()) == []


def test_http_error(fetch, server):
    server.status = 404
    message = message_of(fetch)
    assert message.startswith(server.url)
    assert "404" in message
    assert "--data" in message
    assert "svmcifar download" in message


def test_no_server(fetch, server):
    with serving(b"") as gone:
        url = gone.url
    assert message_of(fetch, changes={"archive_url": url}).startswith(url)


def test_silent_server(fetch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert "timed out" in message_of(fetch, changes={"archive_url": url}, timeout_s=0.2)


def test_malformed_url(fetch):
    assert "nonsense" in message_of(fetch, changes={"archive_url": "nonsense"})


def test_folder_that_cannot_be_written(fetch, tmp_path):
    (tmp_path / "data").write_text("a file")
    assert "data" in message_of(fetch, OutputError)
