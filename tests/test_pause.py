"""Containers that stand still and go on, and the clock of those that do."""

import json
import signal
import subprocess
import time

import pytest

from conftest import IMAGE
from harness import DEADLINE, expect_error, is_alive, kill_group, unique_name, wait_until

pytestmark = pytest.mark.pause

COUNT = ("sh", "-c", "trap 'echo end; exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")


@pytest.fixture
def paused(berth, container):
    """A container that counted and now stands still."""
    name = container("--cap-add", "SYS_TIME", command=COUNT)
    berth.wait_for_output(name, "1\n")
    assert berth.ok("pause", name) == name
    return name


def last_number(berth, name):
    return int(berth.ok("logs", "--tail", "1", name))


def guest_time(berth, name):
    return int(berth.ok("exec", name, "date", "+%s"))


def test_it_stands_still_and_goes_on(berth, paused):
    state = berth.state(paused)
    assert (state["Status"], state["Paused"], state["Running"]) == ("paused", True, True)
    row = next(json.loads(line) for line in berth.ok("ps", "--format", "json").splitlines() if paused in line)
    assert row["State"] == "paused" and row["Status"].startswith("Up ") and row["Status"].endswith("(Paused)")
    before = last_number(berth, paused)
    assert berth.ok("unpause", paused) == paused
    state = berth.state(paused)
    assert (state["Status"], state["Paused"], state["Running"]) == ("running", False, True)
    wait_until(lambda: last_number(berth, paused) > before, "it goes on counting")
    assert berth.ok("exec", paused, "echo", "alive") == "alive"


def test_a_paused_container_refuses_what_needs_it(berth, paused, given):
    expect_error(berth("pause", paused), "already paused", status=1)
    expect_error(berth("exec", paused, "true"), "is paused: unpause it first")
    for command in (("attach", paused), ("start", paused), ("update", "--cpus", "1", paused), ("rm", paused),
                    ("cp", f"{paused}:/etc/hosts", str(given / unique_name("hosts")))):
        expect_error(berth(*command), "is paused: unpause", status=1)
    assert paused in berth.ok("stats", "--no-stream", paused)
    assert berth.state(paused)["Paused"] is True


def test_refuses_what_cannot_be_paused(berth, container):
    for command in ("pause", "unpause"):
        expect_error(berth(command, "no-such-container"), "no-such-container", status=1)
    name = container()
    expect_error(berth("unpause", name), "is not paused", status=1)
    berth.ok("stop", name)
    for command in ("pause", "unpause"):
        expect_error(berth(command, name), "is not running", status=1)


def test_stop_asks_a_paused_container_first(berth, paused):
    berth.ok("stop", "-t", "60", paused)
    assert berth.exit_code(paused) == 7
    assert berth.ok("logs", "--tail", "1", paused) == "end"


def test_kill_ends_a_paused_container(berth, paused):
    berth.ok("kill", paused)
    assert berth.ok("wait", paused) == str(128 + signal.SIGKILL)


def test_rm_with_force_removes_a_paused_container(berth, paused):
    berth.ok("rm", "-f", paused)
    assert berth("inspect", paused).status == 1


def test_readers_and_clients_live_through_a_pause(berth):
    name = unique_name()
    client = berth.spawn("run", "--name", name, IMAGE, *COUNT)
    assert client.stdout.readline() == b"1\n"
    follower = berth.spawn("logs", "-f", name)
    try:
        assert follower.stdout.readline() == b"1\n"
        berth.ok("pause", name)
        before = last_number(berth, name)
        berth.ok("unpause", name)
        for reader in (follower, client):
            while int(reader.stdout.readline()) <= before:
                pass
        berth.ok("stop", "-t", "60", name)
        assert client.communicate(timeout=DEADLINE)[0].endswith(b"end\n")
        assert client.returncode == 7
    finally:
        for process in (client, follower):
            kill_group(process)
            process.communicate()
        berth("rm", "-f", name)


def test_a_launcher_that_is_killed_in_a_pause_leaves_an_ended_container(berth, paused):
    launcher, qemu = berth.launcher(paused), berth.qemu(paused)
    subprocess.run(["kill", "-9", str(launcher)], check=True)
    wait_until(lambda: not is_alive(launcher) and not is_alive(qemu), "both are gone")
    state = berth.state(paused)
    assert (state["Status"], state["Paused"], state["ExitCode"]) == ("exited", False, 255)
    berth.ok("start", paused)
    assert berth.state(paused)["Status"] == "running"


def test_f26_the_clock_is_right_after_a_pause(berth, container):
    """The container's own hand makes the clock as wrong as a pause of an hour would."""
    name = container("--cap-add", "SYS_TIME")
    for wrong in (-3600, 3600):
        berth.ok("exec", name, "date", "-s", f"@{int(time.time()) + wrong}")
        assert abs(guest_time(berth, name) - time.time() - wrong) < 1000
        berth.ok("pause", name)
        before = int(time.time())
        berth.ok("unpause", name)
        assert before <= guest_time(berth, name) <= time.time()


def test_a_clock_that_drifts_is_corrected(berth, container):
    name = container("--cap-add", "SYS_TIME")
    berth.ok("exec", name, "date", "-s", f"@{int(time.time()) - 86400}")
    wait_until(lambda: guest_time(berth, name) > time.time() - 3600, "the clock is right again")
