"""`berth logs`: stored output."""

import datetime
import re

import pytest

from conftest import IMAGE
from harness import kill_group, unique_name, wait_until

pytestmark = pytest.mark.logs


@pytest.fixture(scope="module")
def ended(berth):
    """A container that has written ten lines, odd ones to standard error, and ended."""
    name = unique_name("ended")
    berth("run", "--name", name, IMAGE, "sh", "-c",
          "for i in 0 1 2 3 4 5 6 7 8; do if [ $((i % 2)) = 1 ]; then echo line $i >&2; else echo line $i; fi; done; "
          "sleep 2; printf 'line 9 without an end' >&2")
    yield name
    berth("rm", "-f", name)


def test_output_and_error_are_kept_apart(berth, ended):
    result = berth("logs", ended)
    assert result.out.split() == "line 0 line 2 line 4 line 6 line 8".split()
    assert result.err == "line 1\nline 3\nline 5\nline 7\nline 9 without an end"


def test_tail(berth, ended):
    result = berth("logs", "--tail", "1", ended)
    assert (result.out, result.err) == ("", "line 9 without an end")
    for count in (0, 3, 10, 1000):
        result = berth("logs", "--tail", count, ended)
        assert len((result.out + result.err).splitlines()) == min(count, 10)


def test_timestamps_and_since(berth, ended):
    result = berth("logs", "-t", ended)
    lines = (result.out + result.err).splitlines()
    assert len(lines) == 10
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d", line) for line in lines)
    last = max(line.split()[0] for line in lines)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs(now - datetime.datetime.fromisoformat(last[:19] + "+00:00")) < datetime.timedelta(hours=1)
    assert berth("logs", "--since", last, ended).err.endswith("line 9 without an end")
    assert berth("logs", "--since", last, ended).out == ""
    assert berth("logs", "--since", "0.0000001s", ended).out == ""
    assert len(berth("logs", "--since", "1h", ended).out.splitlines()) == 5


def test_follow_goes_on_across_a_stop_and_a_start(berth):
    name = unique_name()
    script = "echo begin; trap 'echo end; exit 0' TERM; while :; do sleep 1; done"
    berth.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", script)
    follower = berth.spawn("logs", "-f", name)
    try:
        assert follower.stdout.readline() == b"begin\n"
        berth.ok("stop", "-t", "60", name)
        assert follower.stdout.readline() == b"end\n"
        berth.ok("start", name)
        assert follower.stdout.readline() == b"begin\n"
        berth.ok("rm", "-f", name)
        out, err = follower.communicate(timeout=60)
        assert (out, err, follower.returncode) == (b"", b"", 0)
    finally:
        kill_group(follower)
        follower.communicate()
        berth("rm", "-f", name)


def test_e6_a_prompt_without_its_newline_is_there(berth, container):
    name = container(command=("sh", "-c", "printf 'your name: '; sleep 1000000"))
    berth.wait_for_output(name, "your name: ")
    assert berth("logs", name).out == "your name: "


def test_the_log_is_bounded(berth, container):
    line = "x" * 1000
    name = container(command=("sh", "-c", f"yes {line} | head -n 80000; echo the end"))
    assert berth.ok("wait", name) == "0"
    assert berth.ok("logs", "--tail", "1", name) == "the end"
    folder = berth.root / "pods" / berth.inspect(name)["Id"]
    sizes = [path.stat().st_size for path in folder.glob("container.log*")]
    assert 0 < sum(sizes) < 64 * 1024 * 1024
    assert len(berth("logs", name).stdout) > 16 * 1024 * 1024


def test_logs_of_a_running_container_end(berth, container):
    name = container(command=("sh", "-c", "while :; do echo again; done"))
    wait_until(lambda: berth.ok("logs", "--tail", "2", name) == "again\nagain", "output is stored")
