"""What tests of forks have in common."""

import contextlib

import pytest

from conftest import IMAGE
from harness import busybox_berth, expect_census, unique_name, wait_until

# Counts in memory, in its output and, with its host name, in a file.
COUNT = ("sh", "-c", "trap 'echo end; exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; "
         "read -r host < /proc/sys/kernel/hostname; echo $i $host >> /count; usleep 100000; done")


@contextlib.contextmanager
def forking_berth(prefix):
    """A Berth with the image busybox, a template, and whatever comes with the first of its kind and stays."""
    with busybox_berth(prefix) as berth:
        berth.environment["BERTH_TEMPLATES"] = "manual"
        berth.ok("template", "create")
        berth.ok("volume", "rm", berth.ok("volume", "create"))
        berth.ok("run", "--rm", "-v", f"{berth.base / 'given'}:/given", "busybox", "true")
        berth.run_idle("first")
        berth.ok("rm", "-f", "first", *fork(berth, "first"))
        yield berth


@contextlib.contextmanager
def nothing_stays(berth):
    """The containers, snapshots and volumes of a test go; all that was theirs has to go with them."""
    before = berth.census()
    yield
    if new := set(berth.ids()) - set(before["records"]):
        berth.ok("rm", "-f", *new)
    if snapshots := berth.ok("snapshot", "ls", "-q").split():
        berth.ok("snapshot", "rm", *snapshots)
    if volumes := berth.ok("volume", "ls", "-q").split():
        berth.ok("volume", "rm", *volumes)
    expect_census(berth, before)
    assert not list((berth.root / "disks").iterdir())


@pytest.fixture
def nothing_left(berth):
    with nothing_stays(berth):
        yield


@pytest.fixture
def counter(berth, nothing_left):
    """A container that has counted to three."""
    name = unique_name("counter")
    berth.ok("run", "-d", "--name", name, IMAGE, *COUNT)
    berth.wait_for_output(name, "3\n")
    return name


def fork(berth, source, *options):
    return berth.ok("fork", *options, source).split()


def host_name(berth, container):
    return berth.inspect(container)["Id"][:12]


def logged(berth, container):
    return [int(number) for number in berth.ok("logs", container).split()]


def expect_going_on(berth, container):
    """It counts on, without a gap."""
    before = len(logged(berth, container))
    wait_until(lambda: len(logged(berth, container)) > before + 1, f"{container} goes on counting")
    numbers = logged(berth, container)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return numbers


def counted(berth, container):
    """The host names in the file that counts, which has every number once."""
    lines = [line.split() for line in berth.ok("exec", container, "cat", "/count").splitlines()]
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    return [host for _, host in lines]


def expect_continuation(berth, container, *ancestors):
    """It counted on from where its ancestors were, under one name after the other."""
    numbers = expect_going_on(berth, container)
    hosts = counted(berth, container)
    assert list(dict.fromkeys(hosts)) == [host_name(berth, name) for name in (*ancestors, container)]
    if ancestors:
        assert numbers[0] > 3
        assert hosts.index(host_name(berth, container)) + 1 in (numbers[0] - 1, numbers[0])
    else:
        assert numbers[0] == 1
