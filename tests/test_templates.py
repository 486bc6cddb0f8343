"""Templates and clones: who is like whom, the clock, and what happens when something is damaged, full or killed."""

import concurrent.futures
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import oci
from conftest import IMAGE
from harness import (IDLE, Berth, expect_error, is_alive, kill_group, temporary_base, unique_name,
                     wait_until)

pytestmark = pytest.mark.templates

MAKER = "berth-template"


@contextlib.contextmanager
def fresh_berth(layout, base=None):
    """One without templates, that may be damaged."""
    with contextlib.ExitStack() as stack:
        if base is None:
            base = stack.enter_context(temporary_base("berth-templates-"))
        berth = Berth(base)
        berth.environment["BERTH_TEMPLATES"] = "manual"
        berth.ok("pull", "-q", f"oci:{layout}")
        try:
            yield berth
        finally:
            berth.remove_all()
            wait_until(lambda: not berth.processes(), "every process has ended")


@pytest.fixture(scope="module")
def own(busybox_layout):
    with fresh_berth(busybox_layout) as berth:
        yield berth


@pytest.fixture
def template(own):
    """Of the usual size, and the only one."""
    own.ok("template", "prune", "-a")
    return own.ok("template", "create")


@pytest.fixture
def started(own):
    """Starts containers in the background and removes them."""
    names = []

    def start(*options, environment=None):
        names.append(unique_name())
        own.ok("run", "-d", "--name", names[-1], *options, IMAGE, *IDLE, environment=environment)
        return names[-1]

    yield start
    for name in names:
        own("rm", "-f", name)


AUTO = {"BERTH_TEMPLATES": "auto"}


def folder_of(berth, template):
    return berth.root / "templates" / template


def is_clone(berth, name):
    return "-incoming" in berth.processes()[berth.qemu(name)]


def launcher_log(berth, name):
    return (berth.root / "pods" / berth.inspect(name)["Id"] / "launcher.log").read_text()


def listed(berth):
    return berth.ok("template", "ls", "-q").split()


def left_in_folder(berth):
    return sorted(os.listdir(berth.root / "templates"))


# --- which machines are clones


def test_a_run_is_a_clone_unless_told_to_boot(own, template, started):
    assert is_clone(own, started())
    assert is_clone(own, started("--network", "none"))
    assert not is_clone(own, started("--cold"))
    assert not is_clone(own, started("--memory", "300m"))
    assert not is_clone(own, started(environment={"BERTH_TEMPLATES": "never"}))
    assert listed(own) == [template]
    expect_error(own("run", "--rm", IMAGE, "true", environment={"BERTH_TEMPLATES": "sometimes"}), "BERTH_TEMPLATES")


def test_a_template_of_another_size(own, template, started):
    small = own.ok("template", "create", "--memory", "256m", "--cpus", "2")
    assert small != template
    assert own.ok("template", "create", "--memory", "256m", "--cpus", "2") == small
    rows = [json.loads(line) for line in own.ok("template", "ls", "--format", "json").splitlines()]
    assert {(row["ID"], row["CPUs"], row["Memory"], row["Status"]) for row in rows} == {
        (template, "1", "512MiB", "ready"), (small, "2", "256MiB", "ready")}
    name = started("--memory", "256m", "--cpus", "2")
    assert is_clone(own, name)
    assert own.ok("exec", name, "nproc") == "2"
    assert own.ok("template", "rm", small[:8]) == small
    expect_error(own("template", "rm", small), "no template", status=1)


def test_what_clones_write_stays_theirs(own, template, started):
    """Clones map the template's memory privately, by descriptors that are for reading alone."""
    folder = folder_of(own, template)
    digest = subprocess.run(["sha256sum", folder / "memory"], check=True, capture_output=True).stdout
    name = started()
    own.ok("exec", name, "sh", "-c", "head -c 50000000 /dev/urandom > /dev/shm/written")
    process = pathlib.Path("/proc") / str(own.qemu(name))
    maps = [line.split() for line in (process / "maps").read_text().splitlines() if str(folder / "memory") in line]
    assert maps and all(fields[1][3] == "p" for fields in maps), maps
    opened = [link.name for link in (process / "fd").iterdir() if os.readlink(link).startswith(str(folder))]
    assert opened
    for number in opened:
        flags = int((process / "fdinfo" / number).read_text().split("flags:")[1].split()[0], 8)
        assert flags & os.O_ACCMODE == os.O_RDONLY
    assert subprocess.run(["sha256sum", folder / "memory"], check=True, capture_output=True).stdout == digest


def test_the_phases_of_a_run(own, template, given):
    trace = given / "trace"
    own.ok("run", "--rm", "--trace", trace, IMAGE, "true")
    spans = [json.loads(line) for line in trace.read_text().splitlines()]
    assert {span["process"] for span in spans} == {"berth", "berth-launcher"}
    assert {"machine", "QEMU: greeting", "guest: configuration", "session"} <= {span["name"] for span in spans}
    assert all(span["begin_us"] <= span["end_us"] for span in spans)


# --- who is like whom

IDENTITY = """
for i in 1 2 3; do head -c 32 /dev/urandom | md5sum | cut -c 1-32; done
cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id
cat /etc/machine-id 2>/dev/null
hostname
cat /sys/class/net/eth0/address
grep -F '[stack]' /proc/self/maps | cut -d ' ' -f 1
mktemp -u
"""


def ssh_cookie(berth, name):
    """What the tether's SSH server draws for a connection: random bytes that it sends in the clear."""
    proxy = berth.spawn("ssh-proxy", name, stdin=subprocess.PIPE)
    try:
        proxy.stdin.write(b"SSH-2.0-test\r\n")
        proxy.stdin.flush()
        assert proxy.stdout.readline().startswith(b"SSH-2.0-")
        # RFC 4253: length, padding length, SSH_MSG_KEXINIT, cookie
        packet = proxy.stdout.read(4 + 1 + 1 + 16)
        assert packet[5] == 20
        return packet[6:].hex()
    finally:
        kill_group(proxy)
        proxy.communicate()


def test_twenty_clones_share_nothing_random(own, template):
    names = [unique_name() for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda name: own.ok("run", "-d", "--name", name, IMAGE, "sh", "-c",
                                          IDENTITY + IDLE[2]), names))
    try:
        assert all(is_clone(own, name) for name in names)
        for name in names:
            own.wait_for_output(name, "ready")
        identities = [own.ok("logs", name).split("ready")[0].split() for name in names]
        for values in zip(*identities, strict=True):
            assert len(set(values)) == len(names), sorted(values)
        drawn = [value for identity in identities for value in identity[:3]]
        assert len(set(drawn)) == len(drawn)
        cookies = [ssh_cookie(own, name) for name in names]
        assert len(set(cookies)) == len(names), cookies
        known = [host_key(own, name) for name in names]
        assert len(set(known)) == len(names)
    finally:
        own.remove_all()


def host_key(berth, name):
    config = berth.ok("ssh-config", name)
    path = next(line.split(None, 1)[1] for line in config.splitlines() if "UserKnownHostsFile" in line)
    return pathlib.Path(path.strip('"')).read_text().split()[2]


# --- the clock


@pytest.fixture
def yesterday(own, given, as_root):
    """An environment in which QEMU's hardware clock is a day and an hour behind."""
    folder = given / "yesterday"
    folder.mkdir(exist_ok=True)
    wrong = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1, hours=1)
    qemu = shutil.which("qemu-system-x86_64")
    program = folder / "qemu-system-x86_64"
    program.write_text(f'#!/bin/sh\nexec {qemu} -rtc base={wrong:%Y-%m-%dT%H:%M:%S} "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def openssl_image(own, busybox_layout, given):
    """busybox with the host's openssl and what it is linked with."""
    files = [shutil.which("openssl")]
    for line in subprocess.run(["ldd", files[0]], check=True, capture_output=True, text=True).stdout.splitlines():
        files += [word for word in line.split() if word.startswith("/")]
    folders = sorted({str(parent) for file in files for parent in pathlib.Path(file).parents if str(parent) != "/"})
    entries = [oci.directory(folder.lstrip("/")) for folder in folders]
    entries += [oci.file(file.lstrip("/"), pathlib.Path(file).read_bytes(), 0o755) for file in dict.fromkeys(files)]
    own.ok("pull", "-q", oci.derive(busybox_layout, given / "openssl", "openssl", layers=[oci.tar(*entries)]))
    return "openssl"


@pytest.fixture
def tls_server(given):
    """A port, and the certificate that is valid from now on."""
    certificate, key = given / "certificate.pem", given / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=server", "-days", "1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = listener.accept()
                session = context.wrap_socket(client, server_side=True)
                session.sendall(b"hello over TLS\n")
                session.unwrap().close()
            except ssl.SSLError:
                continue  # a client that refuses the certificate
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_template_whose_clock_is_wrong(own, yesterday, openssl_image, tls_server):
    port, certificate = tls_server
    own.ok("template", "prune", "-a")
    own.ok("template", "create", environment=yesterday)
    name = unique_name()
    connect = f"openssl s_client -quiet -connect 10.0.2.2:{port} -CAfile /certificate.pem -verify_return_error"
    script = f"date +%s; {connect}; echo $?; {connect} -attime $(($(date +%s) - 90000)); echo $?"
    own.ok("create", "--name", name, openssl_image, "sh", "-c", script, environment=yesterday)
    own.ok("cp", certificate, f"{name}:/certificate.pem", environment=yesterday)
    before = int(time.time())
    process = own.spawn("start", "-a", name, environment=yesterday)
    out, err = process.communicate(timeout=120)
    after = time.time()
    clock, *lines = out.decode().splitlines()
    assert before <= int(clock) <= after, (before, clock, after)
    assert lines == ["hello over TLS", "0", "1"], (lines, err)
    own.ok("rm", name)
    own.ok("template", "prune", "-a")


# --- damage


@pytest.mark.parametrize("damaged", ["memory", "state", "template.json"])
def test_a_damaged_template_is_made_anew(own, template, started, damaged):
    file = folder_of(own, template) / damaged
    os.truncate(file, file.stat().st_size // 2)
    before = identity(file)
    name = started(environment=AUTO)
    assert not is_clone(own, name)
    assert "cannot be used" in launcher_log(own, name)
    wait_until(lambda: listed(own) == [template] and identity(file) not in (before, None), "it is made again")
    wait_until(lambda: left_in_folder(own) == [template], "nothing of its making is left")
    assert is_clone(own, started())


def identity(file):
    """The number of an inode alone may be given again at once."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def test_a_template_that_qemu_cannot_use(own, template, started):
    """Its files are as they were kept, but not what QEMU understands."""
    state = folder_of(own, template) / "state"
    content = b"this is no machine".ljust(state.stat().st_size, b"!")
    info = folder_of(own, template) / "template.json"
    state.write_bytes(content)
    text = json.loads(info.read_text())
    text["state_hash"] = f"{fnv1a(content):016x}"
    info.write_text(json.dumps(text))
    name = started()
    assert not is_clone(own, name)
    assert "could not be cloned" in launcher_log(own, name)
    assert listed(own) == []


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return value


def test_of_another_boot_of_the_host(own, template, started):
    info = folder_of(own, template) / "template.json"
    text = json.loads(info.read_text())
    text["boot_id"] = "00000000-0000-4000-8000-000000000000"
    info.write_text(json.dumps(text))
    assert own.ok("template", "ls", "--format", "{{.Status}}") == "of an earlier boot"
    assert own.ok("template", "prune") == template
    assert listed(own) == [] and left_in_folder(own) == []
    assert not is_clone(own, started())


def test_clones_go_on_without_their_template(own, template, started):
    name = started()
    own.ok("template", "rm", template)
    other = started()
    assert is_clone(own, name) and not is_clone(own, other)
    assert own.ok("exec", name, "sh", "-c", "head -c 100000000 /dev/zero | md5sum && find / -xdev | wc -l")
    own.ok("stop", name)
    assert own.exit_code(name) == 0


def test_qemu_is_killed_right_after_the_clone_started(own, template, started):
    name = unique_name()
    process = own.spawn("run", "--name", name, IMAGE, *IDLE)
    killed = wait_until(lambda: list(own.processes("qemu-system", "-incoming")), "a clone")
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 125 and err.startswith(b"berth: "), err
    wait_until(lambda: not own.processes("qemu-system", "-incoming"), "it is gone")
    own("rm", "-f", name)
    assert listed(own) == [template]
    assert is_clone(own, started())


# --- making one


def test_ten_runs_at_once_make_one(busybox_layout):
    with fresh_berth(busybox_layout) as berth:
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            results = list(pool.map(lambda n: berth("run", "--rm", IMAGE, "echo", n, environment=AUTO), range(10)))
        assert [result.out for result in results] == [f"{n}\n" for n in range(10)], list(map(str, results))
        wait_until(lambda: len(listed(berth)) == 1, "a template")
        wait_until(lambda: not berth.processes(), "its maker has ended")
        assert left_in_folder(berth) == listed(berth)


@contextlib.contextmanager
def maker(berth):
    """One that is at work on its machine."""
    process = berth.spawn("template", "create")
    try:
        yield process, wait_until(lambda: berth.processes("qemu-system", MAKER), "the template's machine")
    finally:
        kill_group(process)
        process.communicate()


@pytest.mark.parametrize("cleaner", ["prune", "create"])
def test_the_maker_is_killed(own, cleaner):
    own.ok("template", "prune", "-a")
    with maker(own) as (process, machines):
        assert listed(own) == []
        process.kill()
        process.communicate()
        wait_until(lambda: not any(map(is_alive, machines)), "its machine has ended")
    assert listed(own) == [] and left_in_folder(own) != []
    made = own.ok("template", cleaner).split()
    assert left_in_folder(own) == made
    assert own.ok("run", "--rm", IMAGE, "echo", "works") == "works"


def test_the_machine_of_the_maker_is_killed(own):
    own.ok("template", "prune", "-a")
    with maker(own) as (process, machines):
        for pid in machines:
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1 and err.startswith(b"berth: ") and len(err.splitlines()) == 1, err
    failure, = left_in_folder(own)
    assert failure.startswith(".failed-")
    own.ok("template", "create")
    assert failure not in left_in_folder(own)


def test_two_makers(own):
    own.ok("template", "prune", "-a")
    with maker(own) as (process, _):
        expect_error(own("template", "create"), "somebody else", status=1)
        out, _ = process.communicate(timeout=120)
    assert listed(own) == out.decode().split()


def test_the_disk_is_full(busybox_layout, as_root):
    """The making fails with a line that says why and leaves nothing; containers run all the same."""
    with temporary_base("berth-full-") as base:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", base], check=True)
        try:
            with fresh_berth(busybox_layout, base) as berth:
                expect_error(berth("template", "create"), "space|full", status=1)
                failure, = left_in_folder(berth)
                record = berth.root / "templates" / failure
                assert failure.startswith(".failed-") and "space" in record.read_text()
                # Nobody tries it again unasked, as long as that has just failed.
                result = berth("-D", "run", "--rm", IMAGE, "echo", "works", environment=AUTO)
                assert result.status == 0 and result.out == "works\n"
                assert "is not made now" in result.err and "space" in result.err
                wait_until(lambda: not berth.processes(), "all has ended")
                assert json.loads(record.read_text())["count"] == 1
                record.unlink()
                assert berth.ok("run", "--rm", IMAGE, "echo", "works", environment=AUTO) == "works"
                wait_until(lambda: left_in_folder(berth) == [failure] and not berth.processes(), "the maker has failed")
                expect_error(berth("template", "create"), "space|full", status=1)
                assert json.loads(record.read_text())["count"] == 2
                berth.ok("template", "prune")
                assert left_in_folder(berth) == []
        finally:
            subprocess.run(["umount", "-l", base], check=True)
