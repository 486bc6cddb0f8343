"""Standard input, output and error in quantity: nothing is lost and nothing hangs.

BERTH_TEST_STREAM_BYTES says how much goes each way; 1073741824 takes some minutes."""

import hashlib
import os
import re
import select
import signal
import subprocess
import threading
import time

import pytest

from conftest import IMAGE
from harness import DEADLINE, kill_group, unique_name, wait_until

pytestmark = pytest.mark.streams

SIZE = int(os.environ.get("BERTH_TEST_STREAM_BYTES", 64 * 1024 * 1024))
# At least 1 MiB/s, however slow the machine.
STREAM_DEADLINE = DEADLINE + SIZE // (1024 * 1024)


def test_input_comes_back(berth):
    result = berth("run", "--rm", "-i", IMAGE, "cat", input=b"one\ntwo\0three")
    assert (result.status, result.stdout, result.err) == (0, b"one\ntwo\0three", "")


def test_without_interactive_there_is_no_input(berth):
    result = berth("run", "--rm", IMAGE, "cat", input=b"nobody reads this")
    assert (result.status, result.out) == (0, "")


@pytest.mark.parametrize("command", ["exit 3", "sleep 2; exit 3"])
def test_input_nobody_reads_does_not_hang_run(berth, command):
    assert berth("run", "--rm", "-i", IMAGE, "sh", "-c", command, input=bytes(70_000)).status == 3


@pytest.mark.parametrize("command", ["exit 3", "sleep 1; exit 3", "exec <&-; sleep 1; exit 3"])
def test_input_nobody_reads_does_not_hang_exec(berth, box, command):
    assert berth("exec", "-i", box, "sh", "-c", command, input=bytes(70_000)).status == 3


def test_part_of_the_input_is_read(berth, box):
    result = berth("exec", "-i", box, "head", "-c", "10", input=b"0123456789" * 100_000)
    assert (result.status, result.out) == (0, "0123456789")


def test_every_exit_comes_after_the_last_byte(berth, box):
    for size in (1, 1023, 1025, 65_536, 65_537, 200_001):
        result = berth("exec", box, "head", "-c", size, "/dev/zero")
        assert (result.status, len(result.stdout)) == (0, size)
        result = berth("exec", "-i", box, "sh", "-c", f"head -c {size} /dev/zero >&2", input=b"")
        assert (result.status, len(result.stderr)) == (0, size)


def test_a_stream_through_cat_keeps_every_byte(berth, box):
    process = berth.spawn("exec", "-i", box, "cat", stdin=subprocess.PIPE)
    watchdog = threading.Timer(STREAM_DEADLINE, kill_group, [process])
    watchdog.start()
    sent = hashlib.sha256()

    def send():
        block = os.urandom(1024 * 1024)
        left = SIZE
        with process.stdin:
            while left > 0:
                part = block[:left]
                sent.update(part)
                process.stdin.write(part)
                left -= len(part)
                block = block[1:] + block[:1]

    sender = threading.Thread(target=send)
    sender.start()
    received = hashlib.sha256()
    count = 0
    while part := process.stdout.read(1024 * 1024):
        received.update(part)
        count += len(part)
    sender.join()
    assert process.wait() == 0
    watchdog.cancel()
    assert count == SIZE
    assert received.hexdigest() == sent.hexdigest()


def test_output_of_run_keeps_every_byte(berth):
    line = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n"
    count = SIZE // len(line)
    process = berth.spawn("run", "--rm", IMAGE, "sh", "-c",
                          f"yes {line.decode().strip()} | head -n {count}; echo end >&2")
    watchdog = threading.Timer(STREAM_DEADLINE, kill_group, [process])
    watchdog.start()
    received = 0
    while part := process.stdout.read(len(line) * 4096):
        assert part == (line * 4096)[:len(part)]
        received += len(part)
    assert process.stderr.read() == b"end\n"
    assert process.wait() == 0
    watchdog.cancel()
    assert received == count * len(line)


@pytest.mark.parametrize("command", ["run", "exec"])
def test_a_reader_that_pauses_loses_nothing(berth, box, command):
    size = 16 * 1024 * 1024
    where = ["run", "--rm", IMAGE] if command == "run" else ["exec", box]
    process = berth.spawn(*where, "sh", "-c", f"yes | head -c {size}")
    watchdog = threading.Timer(STREAM_DEADLINE, kill_group, [process])
    watchdog.start()
    received = len(process.stdout.read(1024 * 1024))
    for _ in range(2):
        process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        process.send_signal(signal.SIGCONT)
        received += len(process.stdout.read(1024 * 1024))
    received += len(process.stdout.read())
    assert process.wait() == 0
    watchdog.cancel()
    assert received == size


def test_a_reader_that_stops_stalls_only_itself(berth, container):
    name = container(command=("sh", "-c", "yes the main process writes on"))
    stalled = [berth.spawn("exec", name, "yes", "nobody reads this"), berth.spawn("attach", name)]
    try:
        for process in stalled:
            assert process.stdout.read(100_000)
        for number in range(3):
            assert berth.ok("exec", name, "echo", number) == str(number)
        assert berth("exec", "-i", name, "cat", input=bytes(1_000_000)).stdout == bytes(1_000_000)
        assert berth.state(name)["Running"] is True
        assert stalled[0].poll() is None
    finally:
        for process in stalled:
            kill_group(process)
            process.communicate()
    assert berth.ok("exec", name, "echo", "still there") == "still there"


def test_output_without_a_reader_is_no_failure(berth):
    """As with `berth run IMAGE yes | head -n 1`."""
    name = unique_name()
    process = berth.spawn("run", "--rm", "--name", name, IMAGE, "yes")
    try:
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        process.wait(timeout=60)
    finally:
        kill_group(process)
        process.wait()
        berth("rm", "-f", name)


def test_d14_every_client_gets_every_byte_from_its_attach_on(berth, container):
    name = container("-i", command=("cat",))
    first = berth.spawn("attach", "--no-stdin", name)
    second = berth.spawn("attach", "--no-stdin", name)
    writer = berth.spawn("attach", name, stdin=subprocess.PIPE)

    def has_seen_something(client):
        writer.stdin.write(b"are you there\n")
        writer.stdin.flush()
        return select.select([client.stdout], [], [], 0.5)[0]

    try:
        for client in (first, second, writer):
            wait_until(lambda: has_seen_something(client), "the client is attached")
        content = b"".join(b"line %d\n" % i for i in range(20000))
        writer.stdin.write(content)
        writer.stdin.close()
        for client in (first, second, writer):
            assert client.stdout.read().endswith(content)
    finally:
        for client in (first, second, writer):
            kill_group(client)
            client.wait()


def test_a_late_joiner_gets_the_last_lines_if_it_asks(berth, container):
    name = container("-i", command=("sh", "-c", "seq 1 1000; exec cat"))
    wait_until(lambda: berth.ok("logs", "--tail", "1", name) == "1000", "the end of the output")
    joiner = berth.spawn("attach", "--tail", "3", name, stdin=subprocess.PIPE)
    output, _ = joiner.communicate(b"and on\n", timeout=DEADLINE)
    assert output == b"998\n999\n1000\nand on\n"


def test_a_tail_is_a_number(berth, container):
    result = berth("attach", "--tail", "many", container())
    assert result.status == 1
    assert b"--tail" in result.stderr


@pytest.mark.parametrize("lossy", [True, False])
def test_a_client_that_does_not_read_loses_output_or_is_cut_off(berth, container, lossy):
    name = container("-i", command=("sh", "-c", "echo 0; read go; seq 1 600000; echo end; exec sleep 1000"))
    client = berth.spawn("attach", *(["--lossy"] if lossy else []), "--tail", "1", "--no-stdin", name)
    assert client.stdout.readline() == b"0\n"
    writer = berth.spawn("attach", name, stdin=subprocess.PIPE)
    drain = threading.Thread(target=lambda: [None for _ in writer.stdout])
    drain.start()
    try:
        client.send_signal(signal.SIGSTOP)
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
        wait_until(lambda: berth.ok("logs", "--tail", "1", name) == "end", "the end of the output")
        client.send_signal(signal.SIGCONT)
        if not lossy:
            output, error = client.communicate(timeout=DEADLINE)
            assert b"was cut off" in error
            return
        berth.ok("kill", name)
        output, error = client.communicate(timeout=DEADLINE)
        lost = int(re.search(rb"berth: (\d+) bytes of output were left out here", error)[1])
        assert lost > 0
        assert lost + len(output) == sum(len(str(n)) + 1 for n in range(1, 600001)) + len("end\n")
    finally:
        kill_group(client)
        kill_group(writer)
        drain.join()
