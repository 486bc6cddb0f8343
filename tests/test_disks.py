"""Disks of several layers, as forks and snapshots leave them."""

import contextlib
import os
import secrets
import sqlite3
import struct

import pytest

from conftest import IMAGE
from harness import expect_census, unique_name

pytestmark = pytest.mark.disks

CLUSTER = 1 << 16


@pytest.fixture
def nothing_left(berth):
    before = berth.census()
    yield
    for container in set(berth.ids()) - set(before["records"]):
        berth.ok("rm", "-f", container)
    expect_census(berth, before)


def make_overlay(path, size):
    """An empty qcow2 image with subclusters."""
    maps = -(-size // (CLUSTER // 16 * CLUSTER))
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, size, 0, maps, 3 * CLUSTER, CLUSTER, 1, 0, 0,
                         1 << 4, 0, 0, 4, 104)
    with open(path, "wb") as file:
        file.write(header)
        file.seek(CLUSTER)
        file.write(struct.pack(">Q", 2 * CLUSTER))
        file.seek(2 * CLUSTER)
        file.write(b"\0\1" * 4)
        file.truncate(4 * CLUSTER)


@contextlib.contextmanager
def records(berth):
    with contextlib.closing(sqlite3.connect(berth.root / "records.db", timeout=10)) as database:
        with database:
            yield database


def user_of(berth, container):
    return "pod:" + berth.inspect(container)["Id"]


def put_overlay(berth, database, parent):
    """A new layer over that one, as its number."""
    identity = secrets.token_hex(8)
    size, = database.execute("SELECT size FROM disk_layers WHERE serial = ?", (parent,)).fetchone()
    make_overlay(berth.root / "disks" / f"{identity}.qcow2", size)
    return database.execute("INSERT INTO disk_layers(id, parent, format, size, read_only, intent) "
                            "VALUES(?, ?, 'qcow2', ?, 0, 'none')", (identity, parent, size)).lastrowid


def layer_of(database, user):
    return database.execute("SELECT layer FROM disk_uses WHERE user = ?", (user,)).fetchone()[0]


def fork_disk(berth, source, copy):
    """What a fork of a stopped container does to the disks: the copy loses its own."""
    source, copy = user_of(berth, source), user_of(berth, copy)
    with records(berth) as database:
        shared = layer_of(database, source)
        lost = layer_of(database, copy)
        database.execute("UPDATE disk_layers SET read_only = 1 WHERE serial = ?", (shared,))
        for user in (source, copy):
            database.execute("UPDATE disk_uses SET layer = ? WHERE user = ?", (put_overlay(berth, database, shared), user))
        database.execute("UPDATE disk_layers SET intent = 'remove' WHERE serial = ?", (lost,))


def said(berth, name, commands):
    """What the commands say in a container whose process is a shell."""
    return berth.ok("start", "-a", "-i", name, input=commands.encode()).split()


def disks(berth):
    return set(os.listdir(berth.root / "disks"))


def test_forked_disks_go_their_own_ways(berth, nothing_left):
    others = disks(berth)
    source, copy, grandchild = (unique_name(name) for name in ("source", "copy", "grandchild"))
    for name in (source, copy, grandchild):
        berth.ok("create", "-i", "--name", name, IMAGE, "sh")
    said(berth, source, "echo shared > /shared; dd if=/dev/urandom of=/big bs=1M count=4 2>/dev/null; sync")
    before = said(berth, source, "md5sum < /big")
    fork_disk(berth, source, copy)
    assert said(berth, copy, "cat /shared; md5sum < /big; echo copy > /own; echo changed > /shared") == ["shared", *before]
    assert said(berth, source, "cat /shared; ls /own 2>&1 | wc -l; echo source > /own; rm /big") == ["shared", "1"]
    fork_disk(berth, copy, grandchild)
    assert said(berth, grandchild, "cat /shared /own; md5sum < /big") == ["changed", "copy", *before]

    # The source is removed first, and its disk stays for the others.
    berth.ok("rm", source)
    assert said(berth, copy, "cat /shared /own; md5sum < /big") == ["changed", "copy", *before]
    berth.ok("rm", copy)
    assert said(berth, grandchild, "cat /shared /own; md5sum < /big") == ["changed", "copy", *before]
    out = berth.base / "given" / unique_name("out")
    berth.ok("cp", f"{grandchild}:/big", out)
    assert os.path.getsize(out) == 4 << 20
    berth.ok("rm", grandchild)
    assert disks(berth) == others


@pytest.mark.parametrize("written", [False, True])
def test_a_fork_that_was_cut_off_is_put_right(berth, nothing_left, written):
    """The launcher was killed before it could record that QEMU writes to the overlay, or before QEMU did."""
    others = disks(berth)
    name = unique_name()
    berth.ok("create", "-i", "--name", name, IMAGE, "sh")
    said(berth, name, "echo before > /file")
    user = user_of(berth, name)
    if written:
        with records(berth) as database:
            own = layer_of(database, user)
            over = put_overlay(berth, database, own)
            database.execute("UPDATE disk_layers SET read_only = 1 WHERE serial = ?", (own,))
            database.execute("UPDATE disk_uses SET layer = ? WHERE user = ?", (over, user))
        said(berth, name, "echo after > /file")
        with records(berth) as database:
            database.execute("UPDATE disk_layers SET read_only = 0 WHERE serial = ?", (own,))
            database.execute("UPDATE disk_uses SET layer = ?, next = ? WHERE user = ?", (own, over, user))
    else:
        with records(berth) as database:
            own = layer_of(database, user)
            database.execute("UPDATE disk_uses SET next = ? WHERE user = ?", (put_overlay(berth, database, own), user))
    assert said(berth, name, "cat /file") == ["after" if written else "before"]
    assert len(disks(berth) - others) == (2 if written else 1)
    berth.ok("rm", name)
    assert disks(berth) == others
