"""Files as users and systems have them: permissions, links, names and leftovers, for all that writes or reads one."""

import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

import fnnfast as fnn
from fnnfast import __main__ as command_line
from fnnfast._network import file_format

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")

X = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
Y = np.arange(20) % 2


def network(seed=0):
    return fnn.Sequential([fnn.Input(2), fnn.Dense(3, "tanh"), fnn.Dense(2, "softmax")], seed=seed)


def train(path, epochs=1, net=None, **settings):
    return (net or network()).fit(X, Y, epochs=epochs, seed=0, checkpoint=path, **settings)


def low(kind):
    return network().quantize(X) if kind == "int8" else network().astype("bfloat16")


# What writes a file; a new one joins by a line.
WRITERS = {
    "Sequential.save": lambda path: network().save(path),
    "bfloat16": lambda path: low("bfloat16").save(path),
    "int8": lambda path: low("int8").save(path),
    "checkpoint": train,
    "Checkpoint": lambda path: train(fnn.Checkpoint(path, every=2)),
    "training.fit": lambda path: fnn.training.fit(network(), X, Y, epochs=1, seed=0, checkpoint=path),
}

# What reads one that the writer of the same line wrote.
READERS = {
    "Sequential.save": fnn.load,
    "bfloat16": fnn.load,
    "int8": fnn.load,
    "checkpoint": lambda path: train(path, 2),
}


def again(writer, path):
    """Replace what the writer wrote."""
    train(path, 4) if writer in ("checkpoint", "Checkpoint", "training.fit") else WRITERS[writer](path)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# What is replaced ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("before", [0o600, 0o640, 0o664, 0o444])
@pytest.mark.parametrize("writer", WRITERS)
def test_permissions_stay(tmp_path, writer, before):
    path = tmp_path / "file"
    WRITERS[writer](path)
    path.chmod(before)
    (tmp_path / "link").symlink_to(path)
    again(writer, tmp_path / "link")
    assert mode(path) == before
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_being_written_is_no_more_open(tmp_path, monkeypatch, writer):
    """While a file that only its owner may read is replaced, nobody else can read the new one either."""
    path, seen = tmp_path / "file", []
    WRITERS[writer](path)
    path.chmod(0o600)
    opened, fsync = os.open, os.fsync

    def note(descriptor):
        if stat.S_ISREG((found := os.fstat(descriptor)).st_mode):
            seen.append(stat.S_IMODE(found.st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", lambda *arguments: note(opened(*arguments)))
    monkeypatch.setattr(os, "fsync", lambda descriptor: fsync(note(descriptor)))
    again(writer, path)
    assert seen
    assert set(seen) == {0o600}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_new_file_keeps_to_the_umask(tmp_path, writer):
    before = os.umask(0o027)
    try:
        WRITERS[writer](tmp_path / "file")
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("writer", WRITERS)
def test_the_owner_stays(tmp_path, writer):
    path = tmp_path / "file"
    WRITERS[writer](path)
    os.chown(path, 1234, 2345)
    again(writer, path)
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_where_the_group_cannot_stay(tmp_path, monkeypatch):
    """Another group gets no more than everybody; and nothing fails."""
    path = tmp_path / "file"
    network().save(path)
    path.chmod(0o664)
    found = path.stat()
    fake = os.stat_result((*found[:4], found.st_uid + 1, found.st_gid + 1, *found[6:]))

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(file_format, "_replaceable", lambda target: fake)
    network().save(path)
    monkeypatch.undo()
    assert mode(path) == 0o644
    assert fnn.load(path).layers == network().layers


@pytest.mark.parametrize("kind", ["folder", "fifo", "link to a fifo"])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_no_file_is_not_replaced(tmp_path, writer, kind):
    path = tmp_path / "there"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    before = path.stat()
    asked = path
    if kind == "link to a fifo":
        asked = tmp_path / "link"
        asked.symlink_to(path)
    with pytest.raises(OSError, match=re.escape(repr(str(asked)))):
        WRITERS[writer](asked)
    assert path.stat().st_ino == before.st_ino
    assert set(os.listdir(tmp_path)) <= {"there", "link"}


# Names ---------------------------------------------------------------------------------------------------------------
NAMES = ["n" * 255, "n" * 243, "é" * 127, " ", "a\nb", "-rf", "\udcff\udc80", "file.tmp", ".hidden", "%s{}"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("writer", WRITERS)
def test_any_name(tmp_path, writer, name):
    path = tmp_path / name
    try:
        path.touch()
    except OSError:
        pytest.skip("no such name here")
    path.unlink()
    WRITERS[writer](path)
    assert os.listdir(tmp_path) == [name]
    if writer in READERS:
        READERS[writer](path)
        assert os.listdir(tmp_path) == [name]


def test_long_names_have_temporary_names_of_their_own(tmp_path):
    """Two runs whose names are alike for a long way."""
    names = [file_format.temporary_name(str(tmp_path / ("n" * 200 + end))) for end in "ab"]
    assert len(set(names)) == 2
    assert all(len(os.path.basename(name)) <= 143 for name in names)


BAD_PLACES = {
    "no folder": lambda folder: folder / "none" / "file",
    "a file for a folder": lambda folder: folder / "plain" / "file",
    "a long name": lambda folder: folder / ("n" * 256),
    "a circle": lambda folder: folder / "circle" / "file",
}


@pytest.mark.parametrize("place", BAD_PLACES)
@pytest.mark.parametrize("writer", WRITERS)
def test_errors_name_what_was_asked_for(tmp_path, writer, place):
    (tmp_path / "plain").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    path = BAD_PLACES[place](tmp_path)
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as caught:
        WRITERS[writer](path)
    assert "tmp'" not in str(caught.value)
    with pytest.raises(OSError, match=re.escape(str(path))):
        fnn.load(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_may_not_be_written(tmp_path, writer):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=re.escape(repr(str(tmp_path / "file")))):
            WRITERS[writer](tmp_path / "file")
    finally:
        tmp_path.chmod(0o700)


def test_a_checkpoint_that_cannot_be_written_is_said_first(tmp_path, monkeypatch):
    """Before the first epoch, and not where nothing will be written."""
    heard = []

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", arguments[0])

    path = tmp_path / "run"
    train(path, 2)
    monkeypatch.setattr(file_format, "_open_beside", refuse)
    train(path, 2)
    for asked, epochs in ((path, 3), (tmp_path / "other", 1)):
        with pytest.raises(PermissionError, match=re.escape(repr(str(asked)))):
            train(asked, epochs, callbacks=[lambda *told: heard.append(told)])
    assert not heard


# What stands in the way ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "hard link", "folder", "full folder", "fifo"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_leftover(tmp_path, writer, kind):
    """At the fixed name of a checkpoint's temporary file: nothing is followed, written to or waited for."""
    path, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_text("precious")
    leftover = Path(file_format.temporary_name(str(path)))
    assert leftover == tmp_path / "run.tmp"
    make = {
        "file": lambda: leftover.write_bytes(b"half a "),
        "link": lambda: leftover.symlink_to(victim),
        "dangling link": lambda: leftover.symlink_to(tmp_path / "new"),
        "hard link": lambda: leftover.hardlink_to(victim),
        "folder": leftover.mkdir,
        "full folder": lambda: (leftover / "more").mkdir(parents=True),
        "fifo": lambda: os.mkfifo(leftover),
    }
    make[kind]()
    WRITERS[writer](path)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert path.stat().st_size > 100
    assert set(os.listdir(tmp_path)) <= {"run", "victim", "run.tmp"}


def test_a_random_name_that_is_taken(tmp_path, monkeypatch):
    """By a link, say: it is not followed."""
    monkeypatch.setattr(os, "urandom", bytes)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    taken = tmp_path / f"net.{bytes(8).hex()}.tmp"
    taken.symlink_to(victim)
    with pytest.raises(FileExistsError):
        network().save(tmp_path / "net")
    assert victim.read_text() == "precious"
    assert taken.is_symlink()


@pytest.mark.parametrize("fails", ["fsync", "replace"])
@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_is_left_where_writing_fails(tmp_path, monkeypatch, writer, fails):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails, fail)
    with pytest.raises(OSError, match=re.escape(repr(str(tmp_path / "file")))):
        WRITERS[writer](tmp_path / "file")
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    WRITERS[writer](tmp_path / "file")


def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch):
    """As on some network file systems: the file is there, and that is what counts."""
    opened = os.open

    def refuse(path, flags, *mode):
        if flags == os.O_RDONLY:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    network().save(tmp_path / "net")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["net"]


# The command line ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("option", ["--json", "--markdown", "--plot"])
def test_bench_says_first_what_it_cannot_write(tmp_path, capsys, option):
    pytest.importorskip("matplotlib")
    status = command_line.main(["bench", "--only", "I1", option, str(tmp_path / "none" / "file")])
    said = capsys.readouterr()
    assert status == 2
    assert str(tmp_path / "none") in said.err
    assert said.out == ""


def test_demo_into_what_is_no_folder(tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    (tmp_path / "file").write_text("")
    status = command_line.main(["demo", "--output", str(tmp_path / "file")])
    assert status == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
