"""Snapshots: running containers that are kept, to go on from later."""

import json

import pytest

from conftest import IMAGE
from forks import counter, expect_going_on, fork, forking_berth, host_name, nothing_left
from harness import DEADLINE, expect_error, kill_group, unique_name, wait_until

pytestmark = [pytest.mark.fork, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture(scope="module")
def berth():
    with forking_berth("berth-snapshot-") as berth:
        yield berth


@pytest.fixture
def kept(berth, counter):
    """A snapshot of a container that is gone."""
    name = unique_name("snapshot")
    assert berth.ok("snapshot", counter, name) == name
    expect_going_on(berth, counter)
    berth.ok("rm", "-f", counter)
    return name


def folder(berth, snapshot):
    return berth.root / "snapshots" / snapshot


def test_it_outlives_its_container(berth, counter):
    snapshot, host = unique_name("snapshot"), host_name(berth, counter)
    berth.ok("snapshot", "create", counter, snapshot)
    berth.ok("rm", "-f", counter)
    names = [unique_name("resumed") for _ in range(2)]
    ids = [berth.ok("run", "-d", "--from-snapshot", snapshot, "--name", name) for name in names]
    assert len(set(ids)) == 2
    begun = set()
    for name, identity in zip(names, ids):
        begun.add(expect_going_on(berth, name)[0])
        hosts = [line.split()[1] for line in berth.ok("exec", name, "cat", "/count").splitlines()]
        assert list(dict.fromkeys(hosts)) == [host, identity[:12]]
    assert len(begun) == 1
    # They do not need it any more.
    berth.ok("snapshot", "rm", snapshot)
    berth.ok("restart", names[0])
    assert berth.ok("exec", names[0], "head", "-n", "1", "/count") == f"1 {host}"
    expect_going_on(berth, names[1])
    copy, = fork(berth, names[1])
    expect_going_on(berth, copy)


def test_in_the_foreground(berth, kept):
    name = unique_name()
    client = berth.spawn("run", "--rm", "--name", name, "--from-snapshot", kept)
    try:
        first = int(client.stdout.readline())
        assert first > 3
        assert int(client.stdout.readline()) == first + 1
        berth.ok("stop", "-t", "60", name)
        out, _ = client.communicate(timeout=DEADLINE)
        assert out.endswith(b"end\n") and client.returncode == 7
        wait_until(lambda: not berth.ids(), "--rm holds for it")
    finally:
        kill_group(client)
        client.communicate()


def test_listed(berth, counter):
    assert berth.ok("snapshot", "ls", "-q") == ""
    names = [unique_name("snapshot") for _ in range(2)]
    for name in names:
        berth.ok("snapshot", counter, name)
    assert berth.ok("snapshot", "ls", "-q").split() == names[::-1]
    rows = {row["Name"]: row for row in map(json.loads, berth.ok("snapshot", "ls", "--format", "json").splitlines())}
    assert set(rows) == set(names)
    assert rows[names[0]]["Container"] == counter and rows[names[0]]["Image"] == "busybox:latest"
    assert rows[names[0]]["Interrupted"].endswith(" ms")
    assert berth.ok("snapshot", "rm", *names).split() == names
    assert berth.ok("snapshot", "ls", "-q") == ""


def test_refuses_what_cannot_be(berth, counter):
    name = unique_name("snapshot")
    berth.ok("snapshot", counter, name)
    expect_error(berth("snapshot", counter, name), "already", name, status=1)
    for bad in ("x", "-x", ".fork-12", "a/b", "..", "a.lock", "a.draft"):
        for command in (("snapshot", "create", counter, "--", bad), ("run", "--from-snapshot=" + bad),
                        ("snapshot", "rm", "--", bad)):
            assert berth(*command).status in (1, 125), command
    expect_error(berth("snapshot", "no-such-container", "other"), "no-such-container", status=1)
    expect_error(berth("run", "--from-snapshot", "missing"), "no snapshot", "missing")
    expect_error(berth("snapshot", "rm", "missing"), "no snapshot", "missing", status=1)
    expect_error(berth("run", "-d", "--from-snapshot", name, "--name", counter), "in use", counter)
    expect_error(berth("run", "-d", "--from-snapshot", name, "--name", "a/b"), "invalid container name")
    assert berth("run", "--from-snapshot", name, IMAGE).status == 125
    assert len(berth.ids()) == 1
    assert [file.name for file in (berth.root / "snapshots").iterdir()] == [name]
    expect_going_on(berth, counter)


def test_its_image_stays(berth, kept):
    for options in ((), ("-f",)):
        expect_error(berth("rmi", *options, IMAGE), "used by the snapshot", kept, status=1)
    expect_going_on(berth, berth.ok("run", "-d", "--from-snapshot", kept))


# What is in the memory is nobody's to check.
@pytest.mark.parametrize("file, damage", [
    (file, damage) for file in ("snapshot.json", "guest", "record", "state", "memory")
    for damage in ("empty", "cut", "changed", "missing") if (file, damage) != ("memory", "changed")])
def test_damage_is_told(berth, kept, file, damage):
    path = folder(berth, kept) / file
    content = path.read_bytes() if file != "memory" else b""
    path.chmod(0o600)
    if damage == "missing":
        path.unlink()
    elif file == "memory":
        with open(path, "r+b") as memory:
            memory.truncate(0 if damage == "empty" else path.stat().st_size // 2)
    else:
        path.write_bytes({"empty": b"", "cut": content[:len(content) // 2],
                          "changed": b"\xff" * len(content)}[damage])
    result = berth("run", "-d", "--from-snapshot", kept)
    expect_error(result, kept)
    assert not berth.ids()
    assert berth.ok("snapshot", "ls", "-q") == kept
    assert berth.ok("snapshot", "rm", kept) == kept
    assert not folder(berth, kept).exists()
