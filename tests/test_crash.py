"""kill -9 of client, launcher and QEMU at any moment: the next command understands what is left and removes it."""

import os
import signal
import time

import pytest

from conftest import IMAGE
from harness import IDLE, expect_census, is_alive, kill_group, unique_name, wait_until

pytestmark = pytest.mark.crash


@pytest.fixture
def nothing_left(berth):
    before = berth.census()
    yield
    for container in set(berth.ids()) - set(before["records"]):
        berth.ok("rm", "-f", container)
    expect_census(berth, before)


def killed(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), f"process {pid} is gone")


def expect_ended(berth, name):
    state = berth.state(name)
    assert state["Status"] == "exited" and state["Running"] is False
    assert state["ExitCode"] != 0
    assert state["Error"]
    return state


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 0.8, 1.5, 3])
def test_client_killed_while_it_starts_a_container(berth, nothing_left, seconds):
    """Whatever the moment meets: all commands go on working with what is there."""
    name = unique_name()
    process = berth.spawn("run", "-d", "--name", name, IMAGE, *IDLE)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    berth.ok("ps", "-a")
    berth.ok("rm", "-f", name)
    berth.ok("run", "--rm", "--name", name, IMAGE, "true")


def test_client_killed_while_it_is_attached(berth, nothing_left):
    name = unique_name()
    process = berth.spawn("run", "--name", name, IMAGE, "sh", "-c", "echo begin; trap 'exit 12' TERM; "
                          "while :; do sleep 1; done")
    assert process.stdout.readline() == b"begin\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert berth.state(name)["Running"] is True
    assert berth.ok("exec", name, "echo", "alive") == "alive"
    berth.ok("stop", "-t", "60", name)
    assert berth.exit_code(name) == 12


def test_client_of_rm_killed(berth, nothing_left):
    for seconds in (0.005, 0.02, 0.05, 0.1):
        name = unique_name()
        berth.ok("create", "--name", name, IMAGE, "true")
        process = berth.spawn("rm", "-f", name)
        time.sleep(seconds)
        kill_group(process)
        process.communicate()
        berth.ok("ps", "-a")
        berth("rm", "-f", name)


def test_launcher_killed(berth, container, nothing_left):
    name = container("--init", command=("sleep", "1000000"))
    qemu = berth.qemu(name)
    killed(berth.launcher(name))
    expect_ended(berth, name)
    wait_until(lambda: not is_alive(qemu), "QEMU does not outlive it")
    assert name not in berth.ok("ps")
    berth.ok("start", name)
    assert berth.ok("exec", name, "echo", "again") == "again"
    berth.ok("rm", "-f", name)


def test_client_sees_that_the_launcher_was_killed(berth, nothing_left):
    name = unique_name()
    process = berth.spawn("run", "--name", name, IMAGE, "sh", "-c", "echo begin; sleep 1000000")
    assert process.stdout.readline() == b"begin\n"
    killed(berth.launcher(name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 125
    assert len(err.splitlines()) == 1
    expect_ended(berth, name)


def test_removed_after_the_launcher_was_killed(berth, container, nothing_left):
    """Without any command in between."""
    name = container()
    killed(berth.launcher(name))
    berth.ok("rm", "-f", name)


def test_rm_option_after_the_launcher_was_killed(berth, nothing_left):
    name = unique_name()
    berth.ok("run", "-d", "--rm", "--name", name, IMAGE, *IDLE)
    killed(berth.launcher(name))
    berth("rm", "-f", name)


def test_qemu_killed(berth, container, nothing_left):
    name = container()
    waiter = berth.spawn("wait", name)
    launcher = berth.launcher(name)
    killed(berth.qemu(name))
    out, err = waiter.communicate(timeout=60)
    assert waiter.returncode == 0, err
    state = expect_ended(berth, name)
    assert int(out) == state["ExitCode"]
    wait_until(lambda: not is_alive(launcher), "the launcher ends by itself")
    berth.ok("start", name)
    berth.ok("rm", "-f", name)


def test_client_sees_that_qemu_was_killed(berth, nothing_left):
    name = unique_name()
    process = berth.spawn("run", "--rm", "--name", name, IMAGE, "sh", "-c", "echo begin; sleep 1000000")
    assert process.stdout.readline() == b"begin\n"
    killed(berth.qemu(name))
    _, err = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert b"SIGKILL" in err or b"killed" in err
    wait_until(lambda: name not in berth.ok("ps", "-a"), "--rm holds for it")


def test_exec_client_sees_that_qemu_was_killed(berth, container, nothing_left):
    name = container()
    process = berth.spawn("exec", name, "sh", "-c", "echo begin; sleep 1000000")
    assert process.stdout.readline() == b"begin\n"
    killed(berth.qemu(name))
    process.communicate(timeout=60)
    assert process.returncode != 0


def test_all_killed_at_once(berth, nothing_left):
    name = unique_name()
    process = berth.spawn("run", "--name", name, IMAGE, "sh", "-c", "echo begin; sleep 1000000")
    assert process.stdout.readline() == b"begin\n"
    for pid in berth.launcher(name), berth.qemu(name), process.pid:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    expect_ended(berth, name)
    berth.ok("start", name)
    berth.ok("rm", "-f", name)
