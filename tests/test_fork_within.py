"""Processes that ask for copies of their own machine (docs/fork.md)."""

import json
import os
import shutil
import signal
import subprocess

import pytest

import oci
from forks import forking_berth, nothing_left
from harness import DEADLINE, REPOSITORY, find_program, kill_group, unique_name, wait_until

pytestmark = [pytest.mark.fork, pytest.mark.usefixtures("nothing_left")]

IMAGE = "forks"
# Asks once, tells what it was answered and goes on.
ASK = "echo before; answer=$(fork-ask \"fork $0\"); echo \"$answer\"; echo $(hostname) after; exec sleep 1000000"


@pytest.fixture(scope="module")
def berth():
    """Its programs are copies, so that a test can put something between the launcher and `berth fork`."""
    with forking_berth("berth-within-") as berth:
        given = berth.base / "given"
        programs = given / "bin"
        programs.mkdir()
        for name in ("berth", "berth-launcher", "berth-tether"):
            shutil.copy2(find_program().parent / name, programs / name)
        berth.program = programs / "berth"
        source = REPOSITORY / "tests" / "tether" / "fork_client.cpp"
        subprocess.run(["c++", "-static", "-O1", "-o", given / "ask", source], check=True)
        layer = oci.tar(oci.file("bin/fork-ask", (given / "ask").read_bytes(), 0o755))
        berth.ok("pull", "-q", oci.derive(given / "busybox", given / "forks", IMAGE, layers=[layer]))
        berth.ok("run", "--rm", IMAGE, "true")
        yield berth


@pytest.fixture
def asker(berth):
    """Starts a container that waits, and may ask."""
    def start(limit, *options):
        name = unique_name("asker")
        berth.ok("run", "-d", "--name", name, "--fork-limit", str(limit), *options, IMAGE,
                 "sh", "-c", "trap 'exit 0' TERM; echo ready; sleep 1000000 & wait")
        berth.wait_for_output(name, "ready")
        return name
    return start


def ask(berth, container, line, *options):
    return berth.ok("exec", *options, container, "fork-ask", line)


def expect_refusal(berth, container, line, code, *options):
    before = berth.ids()
    answer = ask(berth, container, line, *options)
    assert answer.startswith(f"error {code} ") and len(answer.splitlines()) == 1, answer
    assert len(answer.split()) > 2
    assert berth.ids() == before
    return answer


def test_parent_and_children_learn_who_they_are(berth):
    name = unique_name()
    parent = berth.ok("run", "-d", "--name", name, "--fork-limit", "3", IMAGE, "sh", "-c", ASK, "3")
    berth.wait_for_output(name, "after")
    before, answer, after = berth.ok("logs", name).splitlines()
    words = answer.split()
    assert before == "before" and words[0] == "parent" and after == f"{parent[:12]} after"
    children = words[1:]
    assert len(set(children)) == 3
    listed = {}
    for line in berth.ok("ps", "--no-trunc", "--format", "json").splitlines():
        row = json.loads(line)
        listed[row["ID"]] = row["State"]
    assert listed == dict.fromkeys([parent, *children], "running")
    for number, child in enumerate(children, 1):
        berth.wait_for_output(child, "after")
        assert berth.ok("logs", child).splitlines() == [f"child {number} {child}", f"{child[:12]} after"]


def test_the_limit_is_for_all_requests_together(berth, asker):
    name = asker(3)
    assert len(ask(berth, name, "fork 2").split()) == 3
    expect_refusal(berth, name, "fork 2", "capacity")
    assert ask(berth, name, "fork 1").startswith("parent ")
    expect_refusal(berth, name, "fork 1", "capacity")
    # Copies that the user of the host makes do not count, and may ask for none themselves.
    copy, = berth.ok("fork", name).split()
    expect_refusal(berth, copy, "fork 1", "capacity")


def test_copies_may_ask_for_none(berth, asker):
    name = asker(5)
    copy = ask(berth, name, "fork 1").split()[1]
    expect_refusal(berth, copy, "fork 1", "capacity")
    berth.ok("restart", copy)
    expect_refusal(berth, copy, "fork 1", "capacity")
    assert ask(berth, name, "fork 1").startswith("parent ")


def test_requests_that_are_none(berth, asker):
    name = asker(2)
    for line in ("", "fork", "fork 0", "fork 1001", "fork -1", "fork x", "spoon 1", "fork 1 2", "x" * 100):
        expect_refusal(berth, name, line, "invalid-argument")
    expect_refusal(berth, name, "fork 3", "capacity")
    assert len(ask(berth, name, "fork 2").split()) == 3


def test_every_user_may_ask(berth, asker):
    name = asker(1)
    answer = ask(berth, name, "fork 1", "--user", "user")
    assert answer.startswith("parent ")


def test_without_a_limit_there_is_nobody_to_ask(berth):
    name = unique_name()
    berth.run_idle(name)
    assert berth("exec", name, "ls", "/run/berth/fork.sock").status == 1


def test_what_fails_does_not_count(berth, asker):
    """A volume comes to a container only when it is made, so this one can never have copies."""
    name = asker(1, "-v", f"{unique_name('volume')}:/volume")
    for _ in range(2):
        answer = expect_refusal(berth, name, "fork 1", "unsupported")
        assert "volume" in answer and "berth:" not in answer


@pytest.fixture
def held_back(berth):
    """The launcher's `berth fork` begins only when the fixture's value is called."""
    programs = berth.program.parent
    real = programs / "berth-real"
    gate = programs / "gate"
    os.mkfifo(gate)
    os.rename(programs / "berth", real)
    (programs / "berth").write_text(f"#!/bin/sh\nread -r line < {gate}\nexec {real} \"$@\"\n")
    (programs / "berth").chmod(0o755)
    berth.program = real

    def go():
        with open(gate, "w") as file:
            file.write("go\n")

    yield go
    os.rename(real, programs / "berth")
    gate.unlink()
    berth.program = programs / "berth"


def waiting(berth):
    return wait_until(lambda: berth.processes("/bin/sh", "--for-guest"), "the launcher has been asked")


def test_a_copy_that_somebody_else_asked_for_meanwhile(berth, held_back):
    name = unique_name()
    berth.ok("run", "-d", "--name", name, "--fork-limit", "1", IMAGE, "sh", "-c", ASK, "1")
    waiting(berth)
    other, = berth.ok("fork", name).split()
    berth.wait_for_output(other, "after")
    answer, after = berth.ok("logs", other).splitlines()
    assert answer.startswith("error conflict ") and after == f"{other[:12]} after"
    assert berth.ok("logs", name) == "before"
    held_back()
    berth.wait_for_output(name, "after")
    words = berth.ok("logs", name).splitlines()[1].split()
    assert words[0] == "parent"
    berth.wait_for_output(words[1], "after")
    assert berth.ok("logs", words[1]).splitlines()[0] == f"child 1 {words[1]}"


def test_one_request_at_a_time(berth, held_back, asker):
    name = asker(2)
    first = berth.spawn("exec", name, "fork-ask", "fork 1")
    try:
        waiting(berth)
        expect_refusal(berth, name, "fork 1", "busy")
        held_back()
        assert first.communicate(timeout=DEADLINE)[0].startswith(b"parent ")
    finally:
        kill_group(first)
        first.communicate()


def test_one_that_goes_away_cancels_nothing(berth, held_back, asker):
    name = asker(2)
    berth.ok("exec", "-d", name, "fork-ask", "fork 1")
    waiting(berth)
    berth.ok("exec", name, "killall", "-9", "fork-ask")
    held_back()
    wait_until(lambda: len(berth.ok("ps", "-q").split()) == 2, "the copy is made")
    wait_until(lambda: ask(berth, name, "fork 2").startswith("error capacity "), "the copy counts")


def test_the_fork_command_is_killed(berth, held_back, asker):
    name = asker(1)
    client = berth.spawn("exec", name, "fork-ask", "fork 1")
    try:
        for pid in waiting(berth):
            os.kill(pid, signal.SIGKILL)
        out, _ = client.communicate(timeout=DEADLINE)
        assert out.startswith(b"error internal ")
    finally:
        kill_group(client)
        client.communicate()
    asking = berth.spawn("exec", name, "fork-ask", "fork 1")
    waiting(berth)
    held_back()
    assert asking.communicate(timeout=DEADLINE)[0].startswith(b"parent ")
