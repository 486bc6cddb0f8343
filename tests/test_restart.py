"""Restart policies: the container's process is started again in its machine."""

import json
import re

import pytest

from conftest import IMAGE
from harness import expect_error, unique_name, wait_until

pytestmark = pytest.mark.restart

# Says each time how often it was started, as files outlive a restart.
COUNTING = "echo . >> /runs; echo run $(wc -l < /runs)"


def status_of(berth, name):
    rows = [json.loads(line) for line in berth.ok("ps", "-a", "--format", "json").splitlines()]
    return next(row["Status"] for row in rows if row["Names"] == name)


def test_b13_on_failure_so_many_times(berth, container):
    name = container("--restart", "on-failure:2", command=("sh", "-c", f"{COUNTING}; exit 3"))
    wait_until(lambda: berth.state(name)["Status"] == "exited", "the restarts are over")
    details = berth.inspect(name)
    assert (details["RestartCount"], details["State"]["ExitCode"]) == (2, 3)
    assert details["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert berth.ok("logs", name).split("\n") == ["run 1", "run 2", "run 3"]


def test_success_is_no_failure(berth):
    name = unique_name()
    assert berth.ok("run", "--name", name, "--restart", "on-failure", IMAGE, "echo", "done") == "done"
    wait_until(lambda: berth.state(name)["Status"] == "exited", "the container is recorded as ended")
    assert berth.inspect(name)["RestartCount"] == 0
    berth.ok("rm", name)


def test_always_until_stopped(berth, container):
    name = container("--restart", "always", command=("sh", "-c", f"{COUNTING}; exit 4"))
    wait_until(lambda: re.match(r"Restarting \(4\) .* ago", status_of(berth, name)), "it is shown as restarting")
    wait_until(lambda: berth.inspect(name)["RestartCount"] >= 3, "it was started twice again")
    berth.ok("stop", name)
    state = berth.state(name)
    assert (state["Status"], state["Restarting"], state["ExitCode"]) == ("exited", False, 4)
    runs = berth.ok("logs", name).split("\n")
    assert len(runs) >= 3 and runs == [f"run {i + 1}" for i in range(len(runs))]
    # The policy is still there, and the count begins again.
    assert berth.inspect(name)["HostConfig"]["RestartPolicy"]["Name"] == "always"
    berth.ok("start", name)
    wait_until(lambda: 1 <= berth.inspect(name)["RestartCount"] <= 9, "it is started again")
    berth.ok("kill", name)
    wait_until(lambda: berth.state(name)["Status"] == "exited", "a kill ends the restarts")


def test_stop_and_kill_of_a_running_one_end_it_for_good(berth):
    name = unique_name()
    berth.run_idle(name, "--restart", "unless-stopped")
    berth.ok("stop", name)
    assert (berth.state(name)["Status"], berth.exit_code(name)) == ("exited", 0)
    berth.ok("start", name)
    berth.ok("kill", name)
    wait_until(lambda: berth.state(name)["Status"] == "exited", "a kill is the end")
    assert (berth.exit_code(name), berth.inspect(name)["RestartCount"]) == (137, 0)
    berth.ok("rm", name)


def test_an_attached_client_ends_with_the_process(berth):
    name = unique_name()
    result = berth("run", "--name", name, "--restart", "always", IMAGE, "sh", "-c",
                   f"{COUNTING}; [ $(wc -l < /runs) -gt 1 ] && exec sleep 1000000; exit 7")
    assert (result.status, result.out, result.err) == (7, "run 1\n", "")
    berth.wait_for_output(name, "run 2")
    wait_until(lambda: status_of(berth, name).startswith("Up "), "it runs again")
    assert berth.ok("exec", name, "echo", "inside") == "inside"
    process = berth.spawn("attach", name)
    berth.ok("exec", name, "true")
    berth.ok("kill", name)
    process.communicate(timeout=60)
    assert process.returncode == 137
    berth.ok("rm", "-f", name)


@pytest.mark.parametrize("arguments, words", [
    (["--restart", "sometimes"], ["--restart", "sometimes"]),
    (["--restart", "always:3"], ["always:3"]),
    (["--restart", "on-failure:x"], ["on-failure"]),
    (["--restart", "on-failure:-1"], ["on-failure"]),
    (["--restart", "always", "--rm"], ["--restart", "--rm"]),
])
def test_what_cannot_be(berth, arguments, words):
    expect_error(berth("run", *arguments, IMAGE, "true"), *words)
    expect_error(berth("create", *arguments, IMAGE, "true"), *words)


def test_rm_without_a_restart(berth):
    assert berth.ok("run", "--rm", "--restart", "no", IMAGE, "echo", "fine") == "fine"
