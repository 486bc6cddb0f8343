"""`berth exec`: further processes in a running container."""

import concurrent.futures
import signal

import pytest

from harness import expect_error, open_descriptors, unique_name, wait_until

pytestmark = pytest.mark.exec


def test_output_error_and_exit_code(berth, box):
    result = berth("exec", box, "sh", "-c", "echo to output; echo to error >&2; exit 42")
    assert (result.status, result.out, result.err) == (42, "to output\n", "to error\n")


@pytest.mark.parametrize("code", [0, 1, 124, 125, 126, 127, 128, 254, 255])
def test_every_exit_code(berth, box, code):
    assert berth("exec", box, "sh", "-c", f"exit {code}").status == code


@pytest.mark.parametrize("name", ["HUP", "KILL", "SEGV", "TERM"])
def test_exit_code_of_a_signal(berth, box, name):
    assert berth("exec", box, "sh", "-c", f"kill -{name} $$").status == 128 + getattr(signal, f"SIG{name}")


def test_missing_command_is_127(berth, box):
    result = berth("exec", box, "no-such-command")
    assert result.status == 127
    assert "no-such-command" in result.err


def test_not_executable_is_126(berth, box):
    assert berth("exec", box, "/etc/passwd").status == 126
    assert berth("exec", box, "/etc").status == 126


def test_environment_directory_and_user(berth, box):
    out = berth.ok("exec", "-e", "ADDED=x y", "-w", "/var/tmp", "-u", "1000:65534", box, "sh", "-c",
                   "echo $ADDED; pwd; id -u; id -g; echo $PATH")
    assert out.splitlines()[:4] == ["x y", "/var/tmp", "1000", "65534"]
    assert "/bin" in out.splitlines()[4]


def test_input(berth, box):
    assert berth("exec", "-i", box, "sha256sum", input=b"abc").out.startswith("ba7816bf8f01cfea")


def test_is_in_the_containers_namespaces(berth, box):
    assert berth.ok("exec", box, "cat", "/proc/1/comm") == "sh"
    for namespace in ("mnt", "pid", "ipc", "uts"):
        link = f"/proc/%s/ns/{namespace}"
        assert berth.ok("exec", box, "sh", "-c", f"readlink {link % 'self'}") == \
            berth.ok("exec", box, "readlink", link % "1")


def test_unknown_user(berth, box):
    result = berth("exec", "-u", "nobody-knows", box, "true")
    assert result.status in (125, 126)
    assert "nobody-knows" in result.err


def test_detached(berth, box):
    path = f"/tmp/{unique_name()}"
    berth.ok("exec", "-d", box, "sh", "-c", f"sleep 1; echo done > {path}")
    wait_until(lambda: berth("exec", box, "cat", path).out == "done\n", "the detached process has written")


def test_many_at_once(berth, box):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: berth.ok("exec", "-i", box, "sh", "-c", "cat; echo $0", n, input=b"in "), range(8))
        assert list(answers) == [f"in {n}" for n in range(8)]


def test_a_container_that_does_not_run(berth):
    name = unique_name()
    berth.ok("create", "--name", name, "busybox", "true")
    expect_error(berth("exec", name, "true"), "not running", name[:4])
    berth.ok("rm", name)


def test_descriptors_and_processes_do_not_grow(berth, container):
    name = container()
    launcher, qemu = berth.launcher(name), berth.qemu(name)
    count = lambda: (open_descriptors(launcher), open_descriptors(qemu),
                     berth.ok("exec", name, "sh", "-c", "ls -d /proc/[0-9]* | wc -l"))
    for _ in range(2):
        berth.ok("exec", "-i", name, "cat", input=b"x")
    before = count()
    for _ in range(20):
        berth.ok("exec", "-i", name, "cat", input=b"x")
    wait_until(lambda: count() == before, f"as before: {before}", 30)
