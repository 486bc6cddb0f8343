"""Forks that are cut off: what is left is understood and removed by the next one."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from conftest import IMAGE
from forks import COUNT, counter, expect_going_on, fork, forking_berth, nothing_left
from harness import (DEADLINE, Berth, expect_error, is_alive, kill_group, make_busybox_layout, temporary_base,
                     unique_name, wait_until)

pytestmark = pytest.mark.fork

RECEIVER = "berth-snapshot"


@pytest.fixture(scope="module")
def berth():
    with forking_berth("berth-faults-") as berth:
        yield berth


def others(berth, *containers):
    known = {berth.inspect(container)["Id"] for container in containers}
    return [container for container in berth.ids() if container not in known]


def killed(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"process {pid} is gone")


def receivers(berth):
    return [pid for pid, line in berth.processes("qemu-system").items() if RECEIVER in line]


def snapshot_folder(berth):
    return sorted(os.listdir(berth.root / "snapshots"))


@pytest.mark.parametrize("command", ["fork", "snapshot"])
def test_the_receiving_machine_is_killed(berth, counter, command):
    words = ("fork", counter) if command == "fork" else ("snapshot", counter, unique_name("snapshot"))
    client = berth.spawn(*words)
    pid, = wait_until(lambda: receivers(berth), "the machine that receives is there")
    killed(pid)
    out, err = client.communicate(timeout=DEADLINE)
    assert client.returncode == 1 and len(err.splitlines()) == 1, (out, err)
    assert not snapshot_folder(berth)
    assert not others(berth, counter)
    expect_going_on(berth, counter)
    copy, = fork(berth, counter)
    expect_going_on(berth, copy)


@pytest.mark.parametrize("victim", ["qemu", "launcher"])
def test_the_original_is_killed(berth, counter, victim):
    pid = getattr(berth, victim)(counter)
    client = berth.spawn("fork", counter)
    wait_until(lambda: receivers(berth), "the machine that receives is there")
    killed(pid)
    out, err = client.communicate(timeout=DEADLINE)
    assert client.returncode == 1 and len(err.splitlines()) == 1, (out, err)
    wait_until(lambda: berth.state(counter)["Status"] == "exited", "it has ended")
    wait_until(lambda: not receivers(berth), "nobody receives any more")
    assert not others(berth, counter)
    other = unique_name("other")
    berth.ok("run", "-d", "--name", other, IMAGE, *COUNT)
    berth.ok("fork", other)
    assert not snapshot_folder(berth)
    berth.ok("start", counter)
    berth.wait_for_output(counter, "3\n")


@pytest.mark.parametrize("seconds", [0.02, 0.2, 0.5, 1, 1.5, 2, 3])
def test_the_command_is_killed(berth, counter, seconds):
    """Whatever the moment meets: the original goes on, and the next fork removes what nobody has."""
    client = berth.spawn("fork", "-n", "2", counter)
    time.sleep(seconds)
    kill_group(client)
    client.communicate()
    berth.ok("ps", "-a")
    expect_going_on(berth, counter)
    left = others(berth, counter)
    copy, = fork(berth, counter)
    expect_going_on(berth, copy)
    for container in left:
        wait_until(lambda: container not in berth.ids() or berth.state(container)["Running"],
                   f"{container} goes on or goes away")
    assert not snapshot_folder(berth)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.2, 2])
def test_the_command_of_a_snapshot_is_killed(berth, counter, seconds):
    """Its launcher may complete it; a half one stays nowhere, and the name is free."""
    name = unique_name("snapshot")
    client = berth.spawn("snapshot", counter, name)
    time.sleep(seconds)
    kill_group(client)
    client.communicate()
    wait_until(lambda: not receivers(berth), "the launcher is done")
    expect_going_on(berth, counter)
    berth.ok("snapshot", counter, unique_name("other"))
    if name in berth.ok("snapshot", "ls", "-q").split():
        berth.ok("run", "-d", "--from-snapshot", name)
    else:
        berth.ok("snapshot", counter, name)
    assert not [file for file in snapshot_folder(berth) if file.endswith((".lock", ".draft"))]


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder],
                             capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount: {mounted.stderr.decode()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(as_root):
    with temporary_base("berth-full-") as base:
        with small_disk(base / "data", "800m"):
            berth = Berth(base)
            berth.environment["BERTH_TEMPLATES"] = "never"
            berth.ok("pull", "-q", f"oci:{make_busybox_layout(base)}")
            try:
                berth.ok("run", "-d", "--name", "counter", IMAGE, *COUNT)
                berth.wait_for_output("counter", "3\n")
                copy, = fork(berth, "counter")
                berth.ok("rm", "-f", copy)
                status = os.statvfs(berth.root)
                filler = berth.root / "filler"
                with open(filler, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - (16 << 20))
                for command in (("fork", "counter"), ("snapshot", "counter", "kept")):
                    expect_error(berth(*command), "space", status=1)
                    assert not snapshot_folder(berth) and not others(berth, "counter")
                expect_going_on(berth, "counter")
                filler.unlink()
                copy, = fork(berth, "counter")
                expect_going_on(berth, copy)
            finally:
                berth.remove_all()
                wait_until(lambda: not berth.processes(), "every launcher has ended")
