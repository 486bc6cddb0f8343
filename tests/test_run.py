"""`berth run`: what a container is given, and what comes back from it."""

import os
import pathlib
import re
import signal

import pytest

import oci
from conftest import IMAGE
from harness import expect_error, kill_group, unique_name, wait_until

pytestmark = pytest.mark.run

# Docker's default set (moby, oci/caps/defaults.go).
DEFAULT_CAPABILITIES = 0xA80425FB


def test_output_and_error_stay_apart(berth):
    result = berth("run", "--rm", IMAGE, "sh", "-c", "echo to output; echo to error >&2")
    assert (result.status, result.out, result.err) == (0, "to output\n", "to error\n")


@pytest.mark.parametrize("code", [1, 125, 255])
def test_exit_code_is_the_containers(berth, code):
    assert berth("run", "--rm", IMAGE, "sh", "-c", f"exit {code}").status == code


def test_exit_code_of_a_missing_command_is_127(berth):
    result = berth("run", "--rm", IMAGE, "no-such-command")
    assert result.status == 127
    assert "no-such-command" in result.err


def test_exit_code_of_a_file_that_is_not_executable_is_126(berth):
    result = berth("run", "--rm", IMAGE, "/etc/passwd")
    assert result.status == 126
    assert "/etc/passwd" in result.err


def test_exit_code_of_a_signal_is_128_and_its_number(berth):
    # Below an init, since the kernel keeps a namespace's first process from such signals.
    assert berth("run", "--rm", "--init", IMAGE, "sh", "-c", "kill -SEGV $$").status == 128 + signal.SIGSEGV


def test_exit_code_of_our_own_failure_is_125(berth):
    assert berth("run", "--no-such-flag", IMAGE, "true").status == 125


def test_nothing_is_lost_by_an_exit_directly_after_the_last_byte(berth):
    size = 3 * 1024 * 1024 + 1
    result = berth("run", "--rm", IMAGE, "sh", "-c", f"head -c {size} /dev/zero; head -c {size} /dev/zero >&2")
    assert (result.status, len(result.stdout), len(result.stderr)) == (0, size, size)


def test_rm_removes_the_container(berth):
    before = berth.ids()
    berth.ok("run", "--rm", IMAGE, "true")
    wait_until(lambda: berth.ids() == before, "the container is gone")


# --- options, all given to one container


@pytest.fixture(scope="module")
def given_options(berth, given):
    (given / "env-file").write_text("# a comment\n\nFROM_FILE=two words\nOVERRIDDEN=by file\nFROM_CLIENT_BY_FILE\n")
    script = r"""
        echo "[env]"; env
        echo "[pwd]"; pwd
        echo "[id]"; id -u; id -g
        echo "[hostname]"; hostname
        echo "[root]"; touch /var/tmp/file 2>&1; touch /etc/file 2>&1
        echo "[tmpfs]"; touch /scratch/file && echo writable; grep " /scratch " /proc/mounts
        echo "[nproc]"; nproc
        echo "[memory]"; grep MemTotal /proc/meminfo
        echo "[network]"; ls /sys/class/net
        echo "[init]"; cat /proc/1/comm; echo $$
    """
    result = berth(
        "run", "--rm", "-e", "PLAIN=value=with=equals", "-e", "EMPTY=", "-e", "FROM_CLIENT", "-e", "NOT_SET_THERE",
        "-e", "OVERRIDDEN=by flag", "--env-file", given / "env-file", "-w", "/made/for/this", "-u", "user:nogroup",
        "--hostname", "a-host", "--read-only", "--tmpfs", "/scratch:size=1m,mode=1777", "--cpus", "2", "--memory",
        "384m", "--network", "none", "--init", IMAGE, "sh", "-c", script,
        environment={"FROM_CLIENT": "here", "FROM_CLIENT_BY_FILE": "also here"})
    assert result.status == 0, str(result)
    sections = re.split(r"^\[(\w+)\]\n", result.out, flags=re.MULTILINE)[1:]
    return dict(zip(sections[::2], sections[1::2]))


def test_environment(given_options):
    environment = dict(line.split("=", 1) for line in given_options["env"].splitlines())
    assert environment["PLAIN"] == "value=with=equals"
    assert environment["EMPTY"] == ""
    assert environment["FROM_CLIENT"] == "here"
    assert "NOT_SET_THERE" not in environment
    assert environment["HOSTNAME"] == "a-host"
    assert environment["HOME"] == "/home/user"
    assert "/bin" in environment["PATH"].split(":")


def test_environment_file(given_options):
    environment = dict(line.split("=", 1) for line in given_options["env"].splitlines())
    assert environment["FROM_FILE"] == "two words"
    assert environment["FROM_CLIENT_BY_FILE"] == "also here"
    assert environment["OVERRIDDEN"] == "by flag"


def test_working_directory_is_made(given_options):
    assert given_options["pwd"].strip() == "/made/for/this"


def test_user_and_group_by_name(given_options):
    assert given_options["id"].split() == ["1000", "65534"]


def test_hostname(given_options):
    assert given_options["hostname"].strip() == "a-host"


def test_read_only_root(given_options):
    assert given_options["root"].count("Read-only file system") == 2


def test_tmpfs(given_options):
    lines = given_options["tmpfs"].splitlines()
    assert lines[0] == "writable"
    assert "size=1024k" in lines[1]


def test_cpus(given_options):
    assert given_options["nproc"].strip() == "2"


def test_memory(given_options):
    kilobytes = int(given_options["memory"].split()[1])
    assert 256 * 1024 < kilobytes <= 512 * 1024


def test_network_none(given_options):
    assert given_options["network"].split() == ["lo"]


def test_init_is_the_first_process(given_options):
    name, own = given_options["init"].split()
    assert name != "sh"
    assert own != "1"


# --- without options


def inside(berth, box, command):
    return berth.ok("exec", box, "sh", "-c", command)


def test_defaults(berth, box):
    identity = berth.inspect(box)["Id"]
    assert inside(berth, box, "id -u; id -g; pwd").split() == ["0", "0", "/"]
    assert inside(berth, box, "hostname") == identity[:12]
    assert inside(berth, box, "cat /proc/1/comm") == "sh"
    assert inside(berth, box, "touch /etc/new && rm /etc/new && echo writable") == "writable"


def test_a_kernel_of_its_own(berth, box):
    path = "/proc/sys/kernel/random/boot_id"
    assert inside(berth, box, f"cat {path}") != pathlib.Path(path).read_text(encoding="ascii").strip()


def test_default_capabilities_and_seccomp(berth, box):
    status = dict(line.split(":\t", 1) for line in inside(berth, box, "cat /proc/1/status").splitlines())
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[kind], 16) == DEFAULT_CAPABILITIES, kind
    assert status["Seccomp"] == "2"
    assert berth("exec", box, "mount", "-t", "tmpfs", "none", "/tmp").status != 0


def test_namespaces_and_masked_paths(berth, box):
    assert int(inside(berth, box, "ls -d /proc/[0-9]* | wc -l")) < 10
    assert inside(berth, box, "cat /proc/kcore | wc -c") == "0"
    assert "Read-only" in berth("exec", box, "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq").err
    assert inside(berth, box, "ls /sys/fs/cgroup") != ""
    assert inside(berth, box, "ls /dev/vda /dev/sda /dev/virtio-ports 2>/dev/null; true") == ""


def test_resolver_hosts_and_route(berth, box):
    assert re.search(r"^nameserver \d", inside(berth, box, "cat /etc/resolv.conf"), re.MULTILINE)
    hosts = inside(berth, box, "cat /etc/hosts")
    assert "127.0.0.1" in hosts and "localhost" in hosts and berth.inspect(box)["Id"][:12] in hosts
    assert "default via" in inside(berth, box, "ip route")


def test_names_for_the_resolver(berth):
    show = "cat /etc/hosts /etc/resolv.conf; echo 192.0.2.1 own >> /etc/hosts; tail -n 1 /etc/hosts"
    out = berth("run", "--rm", "--add-host", "db:10.0.0.3", "--add-host", "host:host-gateway", "--dns", "9.9.9.9",
                "--dns-search", "example.org", "--dns-option", "ndots:2", IMAGE, "sh", "-c", show).out
    for line in ("10.0.0.3\tdb", "10.0.2.2\thost", "nameserver 9.9.9.9", "search example.org", "options ndots:2"):
        assert line in out.splitlines()
    assert out.count("nameserver") == 1 and out.endswith("192.0.2.1 own\n")


def test_standard_devices(berth, box):
    assert inside(berth, box, "echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1; ls /dev/fd /dev/pts | wc -l")
    assert inside(berth, box, "head -c 16 /dev/urandom | wc -c") == "16"
    assert inside(berth, box, "stat -f -c %T /dev/shm") == "tmpfs"


def test_orphans_are_reaped(berth, box):
    inside(berth, box, "for i in 1 2 3 4 5; do (sh -c 'sleep 0.2 &') ; done")
    wait_until(lambda: inside(berth, box, "cat /proc/[0-9]*/stat 2>/dev/null").count(") Z ") == 0, "no zombie is left")


# --- the image's configuration


@pytest.fixture(scope="module")
def configured_image(berth, busybox_layout, given):
    source = oci.derive(busybox_layout, given / "configured", "configured", {
        "Entrypoint": ["/bin/echo", "entry"], "Cmd": ["default", "command"], "WorkingDir": "/work/here",
        "Env": ["PATH=/bin", "COLOUR=green"], "User": "1000:65534", "StopSignal": "SIGUSR1", "Volumes": {"/data": {}}})
    berth.ok("pull", "-q", source)
    return "configured"


def test_image_entrypoint_and_command(berth, configured_image):
    assert berth.ok("run", "--rm", configured_image) == "entry default command"


def test_image_command_is_replaced(berth, configured_image):
    assert berth.ok("run", "--rm", configured_image, "other") == "entry other"


def test_image_entrypoint_is_replaced_and_its_command_dropped(berth, configured_image):
    script = "echo $# $COLOUR; pwd; id -u; id -g; ls -d /data"
    out = berth.ok("run", "--rm", "--entrypoint", "sh", configured_image, "-c", script, "name")
    assert out.split() == ["0", "green", "/work/here", "1000", "65534", "/data"]


def test_image_stop_signal(berth, configured_image, container):
    name = container("--entrypoint", "sh", image=configured_image,
                     command=("-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 1; done"))
    berth.wait_for_output(name, "ready")
    berth.ok("stop", "-t", "60", name)
    assert berth.exit_code(name) == 7


@pytest.mark.parametrize("signal_name, trapped", [("HUP", "HUP"), ("SIGWINCH", "WINCH"), ("RTMIN+3", "37")])
def test_b3_stop_signal_option(berth, container, signal_name, trapped):
    name = container("--stop-signal", signal_name,
                     command=("sh", "-c", f"trap 'exit 8' {trapped}; echo ready; while :; do sleep 1; done"))
    berth.wait_for_output(name, "ready")
    berth.ok("stop", "-t", "60", name)
    assert berth.exit_code(name) == 8


def test_b4_a_stop_signal_that_is_none_is_refused_at_create(berth):
    before = berth.ids()
    expect_error(berth("create", "--stop-signal", "NOPE", IMAGE, "true"), "NOPE")
    assert berth.ids() == before


# --- signals to the client


def test_signals_to_the_client_go_to_the_container(berth):
    process = berth.spawn("run", "--rm", IMAGE, "sh", "-c",
                          "trap 'echo got TERM; exit 9' TERM; echo ready; while :; do sleep 1; done")
    try:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (9, b"got TERM\n", b"")
    finally:
        kill_group(process)
        process.wait()


def test_interrupt_of_the_client_goes_to_the_container(berth):
    name = unique_name()
    process = berth.spawn("run", "--rm", "--init", "--name", name, IMAGE, "sh", "-c", "echo ready; sleep 1000000")
    try:
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGINT
    finally:
        kill_group(process)
        process.wait()
        berth("rm", "-f", name)
