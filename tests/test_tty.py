"""Pseudo-terminals: size, keys, detaching."""

import signal

import pytest

from conftest import IMAGE
from harness import Terminal, expect_error, unique_name

pytestmark = pytest.mark.tty

DETACH = "\x10\x11"  # ctrl-p ctrl-q


def terminal(berth, *arguments, **options):
    return Terminal(berth.command(*arguments), berth.environment, **options)


@pytest.fixture(scope="module")
def shell(berth):
    """A container whose main process is a shell on a terminal."""
    name = unique_name("shell")
    berth.ok("run", "-d", "-i", "-t", "--name", name, IMAGE, "sh")
    yield name
    berth("rm", "-f", name)


@pytest.fixture
def attached(berth, shell):
    with terminal(berth, "attach", shell, rows=30, columns=100) as user:
        user.send("\n")
        user.expect("/ # ")
        yield user


def test_the_window_size_is_there_from_the_start(berth):
    with terminal(berth, "run", "--rm", "-it", IMAGE, "stty", "size", rows=37, columns=91) as user:
        user.expect("37 91\r\n")
        assert user.wait() == 0


def test_exit_code_terminal_and_its_settings(berth):
    with terminal(berth, "run", "--rm", "-it", IMAGE, "sh", "-c",
                  "test -t 0 && test -t 1 && test -t 2 && echo all three >&2; read line; echo \"<$line>\"; exit 4") as user:
        before = user.attributes()
        user.expect("all three\r\n")
        assert user.attributes() != before, "the user's terminal is in raw mode meanwhile"
        user.send("typed\r")
        user.expect("typed\r\n<typed>\r\n")
        assert user.wait() == 4
        assert user.attributes() == before


def test_the_window_size_follows(attached):
    attached.send("stty size\n")
    attached.expect("30 100\r\n")
    attached.resize(41, 133)
    attached.send("until stty size | grep '41 133'; do sleep 1; done\n")
    attached.expect("\n41 133\r\n")


def test_a_change_of_size_is_a_signal(attached):
    # Within a command: at its prompt the shell keeps the signal for itself.
    attached.send("(trap 'echo size chan''ged; exit' WINCH; echo wait''ing; while :; do sleep 1; done)\n")
    attached.expect("waiting\r\n")
    attached.resize(50, 150)
    attached.expect("size changed\r\n")


def test_ctrl_c_interrupts(attached):
    # The one that tells is the one to be interrupted: between two commands the shell itself would be hit.
    attached.send("sh -c \"echo wait''ing; exec sleep 1000000\"\n")
    attached.expect("waiting\r\n")
    attached.send("\x03")
    attached.send("\necho the code is $?\n")
    attached.expect("the code is 130\r\n")


def test_ctrl_d_ends_the_input(attached):
    attached.send("sh -c \"echo wait''ing; exec cat\"; echo af''ter\n")
    attached.expect("waiting\r\n")
    attached.send("some text\n")
    attached.expect("some text\r\nsome text\r\n")
    attached.send("\x04")
    attached.expect("after\r\n")


def test_detach_keys_leave_it_running(berth, shell, attached):
    attached.send("variable=kept\n")
    attached.send(DETACH)
    assert attached.wait() == 0
    assert berth.state(shell)["Running"] is True
    with terminal(berth, "attach", shell) as user:
        user.send("\necho variable is $variable\n")
        user.expect("variable is kept\r\n")


def test_a_part_of_the_detach_keys_reaches_the_container(attached):
    attached.send("stty raw -echo; head -c 3 | od -An -tx1; stty sane\n")
    attached.expect("echo; .*\r\n")
    attached.send("\x10ab")
    attached.expect("10 61 62")


def test_the_end_of_the_client_is_not_that_of_the_container(berth, shell, attached):
    attached.process.send_signal(signal.SIGTERM)
    attached.wait()
    assert berth.state(shell)["Running"] is True


def test_exec_has_a_terminal_of_its_own(berth, box):
    with terminal(berth, "exec", "-it", box, "sh", rows=33, columns=77) as user:
        user.send("stty size; tty\n")
        user.expect("33 77\r\n/dev/pts/")
        user.resize(44, 88)
        user.send("until stty size | grep '44 88'; do sleep 1; done\n")
        user.expect("\n44 88\r\n")
        user.send("exit 6\n")
        assert user.wait() == 6


def test_a_terminal_without_input(berth):
    result = berth("run", "--rm", "-t", IMAGE, "sh", "-c", "test -t 1 && echo a terminal >&2")
    assert (result.status, result.out, result.err) == (0, "a terminal\r\n", "")


def test_no_terminal_to_take_input_from(berth):
    expect_error(berth("run", "--rm", "-it", IMAGE, "true", input=b""), "not a TTY")
