"""The commands around a container's life, with Docker's rules."""

import json
import re
import signal

import pytest

from conftest import IMAGE
from harness import IDLE, expect_error, unique_name

pytestmark = pytest.mark.lifecycle

COMMANDS = ["run", "ps", "logs", "exec", "attach", "stop", "kill", "start", "wait", "rm", "inspect", "images", "rmi",
            "pull", "stats", "doctor", "version", "cp", "port", "port-forward", "ssh", "ssh-config", "ssh-proxy", "create",
            "restart", "pause", "unpause"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(berth, command):
    help_text = berth.ok(command, "--help")
    assert re.search(rf"example.*berth {command}", help_text, re.IGNORECASE | re.DOTALL)


def test_version(berth):
    assert re.search(r"\d+\.\d+\.\d+", berth.ok("version"))


def test_doctor_names_what_it_found(berth):
    result = berth("doctor")
    assert result.status in (0, 1), str(result)
    for word in ("qemu", "kernel", "kvm", "skopeo", "mkfs.erofs"):
        assert word in result.out.lower(), str(result)


def test_automatic_acceleration_never_hangs(berth):
    result = berth("run", "--rm", "--accel", "auto", IMAGE, "echo", "up")
    assert (result.status, result.out) == (0, "up\n")
    assert len(result.err.splitlines()) <= 1


def test_detached_run_prints_the_id(berth):
    name = unique_name()
    identity = berth.run_idle(name)
    assert re.fullmatch("[0-9a-f]{64}", identity)
    assert berth.inspect(name)["Id"] == identity
    berth.ok("rm", "-f", identity)


def test_ps_shows_running_containers_and_all_with_a(berth, container):
    name = container()
    rows = [json.loads(line) for line in berth.ok("ps", "--format", "json").splitlines()]
    row = next(row for row in rows if row["Names"] == name)
    assert row["Image"].startswith("busybox") and row["State"] == "running" and row["Status"].startswith("Up ")
    assert name in berth.ok("ps")
    berth.ok("stop", name)
    assert name not in berth.ok("ps")
    assert re.search(rf"Exited \(0\).*{name}", berth.ok("ps", "-a"))


def test_names_ids_and_prefixes(berth, box):
    identity = berth.inspect(box)["Id"]
    for spelling in (box, identity, identity[:12], identity[:8]):
        assert berth.ok("inspect", "-f", "{{.Name}}", spelling).strip("/") == box


def test_a_prefix_of_several_ids_is_refused(berth):
    names = [unique_name() for _ in range(17)]
    for name in names:
        berth.ok("create", "--name", name, IMAGE)
    identities = berth.ids()
    prefix = next(a[0] for a in identities if sum(b[0] == a[0] for b in identities) > 1)
    result = berth("inspect", prefix)
    assert result.status == 1 and "several" in result.err
    berth.ok("rm", *names)


def test_inspect_of_a_running_container(berth, box):
    details = berth.inspect(box)
    assert details["State"]["Status"] == "running"
    assert details["State"]["Running"] is True
    assert details["State"]["ExitCode"] == 0
    assert details["State"]["StartedAt"].startswith("20")
    assert details["Config"]["Image"].startswith("busybox")
    assert [details["Path"], *details["Args"]] == list(IDLE)


def test_wait_prints_the_exit_code(berth, container):
    name = container(command=("sh", "-c", "sleep 1; exit 17"))
    assert berth.ok("wait", name) == "17"
    assert berth.ok("wait", name) == "17", "at once when it has ended"
    assert berth.exit_code(name) == 17


def test_stop_asks_first(berth, container):
    name = container(command=("sh", "-c", "trap 'exit 11' TERM; echo ready; while :; do sleep 1; done"))
    berth.wait_for_output(name, "ready")
    assert berth.ok("stop", "-t", "60", name) == name
    assert berth.exit_code(name) == 11
    berth.ok("stop", name)


def test_stop_kills_what_does_not_end(berth, container):
    name = container(command=("sleep", "1000000"))
    berth.ok("stop", "-t", "1", name)
    assert berth.exit_code(name) == 128 + signal.SIGKILL


def test_kill_sends_any_signal(berth, container):
    name = container(command=("sh", "-c", "trap 'echo got USR1' USR1; echo ready; while :; do sleep 1; done"))
    berth.wait_for_output(name, "ready")
    berth.ok("kill", "-s", "USR1", name)
    berth.wait_for_output(name, "got USR1")
    assert berth.state(name)["Running"] is True
    assert berth("kill", "-s", "NOSUCH", name).status == 1
    berth.ok("kill", name)
    assert berth.ok("wait", name) == str(128 + signal.SIGKILL)
    assert berth("kill", name).status == 1, "it does not run"


def test_create_start_and_start_again_keep_the_files(berth):
    name = unique_name()
    berth.ok("create", "--name", name, IMAGE, "sh", "-c", "echo line >> /kept; cat /kept")
    assert berth.state(name)["Status"] == "created"
    berth.ok("start", name)
    assert berth.ok("wait", name) == "0"
    assert berth("start", "-a", name).out == "line\nline\n"
    assert berth.ok("logs", name) == "line\nline\nline"
    berth.ok("rm", name)


def test_rm_refuses_a_running_container(berth, container):
    name = container()
    result = berth("rm", name)
    assert result.status == 1 and "running" in result.err
    assert berth.state(name)["Running"] is True
    berth.ok("rm", "-f", name)
    assert berth("inspect", name).status == 1


def test_a_name_is_free_after_removal(berth):
    name = unique_name()
    for _ in range(2):
        berth.ok("create", "--name", name, IMAGE)
        berth.ok("rm", name)


def test_several_names_and_one_unknown(berth):
    names = [unique_name(), unique_name()]
    for name in names:
        berth.ok("create", "--name", name, IMAGE)
    result = berth("rm", names[0], "no-such-container", names[1])
    assert result.status == 1
    assert result.out.split() == names
    assert "no-such-container" in result.err


def test_stats(berth, box):
    row = json.loads(berth.ok("stats", "--no-stream", "--format", "json", box))
    assert row["Name"] == box
    assert row["MemUsage"] and row["CPUPerc"].endswith("%")
    assert " / " in row["MachineShares"]
    assert row["MachineMemory"] != row["MachinePrivate"] != "0B" and row["MachineProportional"] != "0B"


@pytest.mark.parametrize("command", ["start", "stop", "kill", "wait", "rm", "inspect", "logs", "attach"])
def test_unknown_container(berth, command):
    expect_error(berth(command, "no-such-container"), "no-such-container", status=1)
