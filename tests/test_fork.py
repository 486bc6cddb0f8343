"""Copies of running containers: what goes on in them, and what they have of their own."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import subprocess
import threading
import urllib.request

import pytest

from conftest import IMAGE
from forks import counter, expect_continuation, expect_going_on, fork, forking_berth, host_name, nothing_left
from harness import DEADLINE, expect_census, expect_error, free_port, kill_group, unique_name, wait_until

pytestmark = [pytest.mark.fork, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture(scope="module")
def berth():
    with forking_berth("berth-fork-") as berth:
        yield berth


def test_copies_go_on_and_so_does_the_original(berth, counter):
    names = [unique_name("copy") for _ in range(2)]
    ids = fork(berth, counter, "--name", names[0]) + fork(berth, counter, "-n", "2", "--name", names[1])
    names = [names[0], f"{names[1]}-1", f"{names[1]}-2"]
    assert [berth.inspect(name)["Id"] for name in names] == ids
    for name in (counter, *names):
        expect_continuation(berth, name, *(() if name == counter else (counter,)))


def test_copies_of_copies(berth, counter):
    child, = fork(berth, counter)
    expect_going_on(berth, child)
    grandchild, = fork(berth, child)
    expect_continuation(berth, grandchild, counter, child)
    berth.ok("exec", grandchild, "sh", "-c", "echo kept > /kept")
    great_grandchild, = fork(berth, grandchild)
    expect_continuation(berth, great_grandchild, counter, child, grandchild)
    assert berth.ok("exec", great_grandchild, "cat", "/kept") == "kept"
    for name, ancestors in ((child, (counter,)), (counter, ())):
        expect_continuation(berth, name, *ancestors)
        assert berth("exec", name, "cat", "/kept").status == 1


IDENTITY = {
    "host name": "hostname",
    "/etc/hostname": "cat /etc/hostname",
    "/etc/hosts": "grep '^10.0.2' /etc/hosts | head -n 1",
    "card": "cat /sys/class/net/eth0/address || ip link | grep ether",
    "machine id": "cat /etc/machine-id",
    "boot id": "cat /proc/sys/kernel/random/boot_id",
    "random numbers": "head -c 16 /dev/urandom | md5sum",
    "uuid": "cat /proc/sys/kernel/random/uuid",
}


def identity(berth, container):
    script = "; ".join(f"echo \"$({command})\"" for command in IDENTITY.values())
    found = dict(zip(IDENTITY, berth.ok("exec", container, "sh", "-c", script).splitlines(), strict=True))
    shown = berth.inspect(container)
    found["id"], found["name"], found["host name shown"] = shown["Id"], shown["Name"], shown["Config"]["Hostname"]
    folder = berth.runtime / "pods" / shown["Id"]
    found["host key"] = (folder / "known_hosts").read_text().split()[-1]
    found["login key"] = (folder / "login_key").read_text()
    return found


def test_copies_have_an_identity_of_their_own(berth, counter):
    all_of_them = [counter, *fork(berth, counter, "-n", "2")]
    found = [identity(berth, container) for container in all_of_them]
    for what in found[0]:
        assert len({one[what] for one in found}) == len(found), (what, [one[what] for one in found])
    for one in found:
        assert one["host name"] == one["/etc/hostname"] == one["host name shown"] == one["id"][:12]
        assert one["/etc/hosts"].split()[1] == one["id"][:12]
        assert one["machine id"] == one["id"][:32]


def test_open_files_pipes_and_folders_go_on(berth):
    """One process writes to a file that has no name any more, another one reads it; a third one gets it by a pipe."""
    name = unique_name()
    berth.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", """
        mkdir /work; cd /work; exec 3>>gone; exec 4<gone; rm gone
        (i=0; while :; do i=$((i+1)); echo $i >&3; usleep 50000; done) &
        (while :; do if read -r line <&4; then echo $line; else usleep 20000; fi; done) |
            while read -r line; do echo "$line $PWD"; done""")
    berth.wait_for_output(name, "3 /work\n")
    copy, = fork(berth, name)
    for container in (name, copy):
        wait_until(lambda: len(berth.ok("logs", container).splitlines()) > 5, f"{container} goes on")
        lines = berth.ok("logs", container).splitlines()
        first = int(lines[0].split()[0])
        assert lines == [f"{first + i} /work" for i in range(len(lines))]
        assert (first == 1) == (container == name)


def test_execs_go_on_without_their_clients(berth, counter):
    script = "i=0; while :; do i=$((i+1)); echo $i; echo $i >> /exec; usleep 50000; done"
    client = berth.spawn("exec", counter, "sh", "-c", script)
    try:
        assert client.stdout.readline() == b"1\n"
        copy, = fork(berth, counter)

        def length(container):
            return len(berth.ok("exec", container, "cat", "/exec").splitlines())

        for container in (counter, copy):
            before = length(container)
            wait_until(lambda: length(container) > before, f"the exec goes on in {container}")
            assert berth.ok("exec", container, "cat", "/exec").splitlines()[:4] == ["1", "2", "3", "4"]
        here = length(counter)
        assert [int(client.stdout.readline()) for _ in range(here - 1)] == list(range(2, here + 1))
    finally:
        kill_group(client)
        client.communicate()


@contextlib.contextmanager
def listener():
    """A server of this host, and the connections to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        yield server


def test_connections_are_the_originals(berth, counter):
    with listener() as server:
        port = server.getsockname()[1]
        berth.ok("exec", "-d", counter, "sh", "-c", f"nc 10.0.2.2 {port} -e cat; echo $? > /ended")
        connection, _ = server.accept()
        with connection:
            connection.settimeout(DEADLINE)

            def answer(line):
                connection.sendall(line)
                return connection.recv(100)

            assert answer(b"before\n") == b"before\n"
            copy, = fork(berth, counter)
            wait_until(lambda: berth("exec", copy, "cat", "/ended").status == 0, "the copy's connection is reset")
            assert berth.ok("exec", copy, "cat", "/ended") != "0"
            assert answer(b"after\n") == b"after\n"
            assert berth("exec", counter, "cat", "/ended").status == 1


def fetch(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE).read().decode()
    except OSError:
        return None


def test_listeners_go_on_at_other_ports_of_the_host(berth):
    name, fixed = unique_name(), free_port()
    berth.ok("run", "-d", "--name", name, "-p", f"{fixed}:80", "-p", "80", IMAGE, "sh", "-c",
             "mkdir /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www")
    wait_until(lambda: fetch(fixed), "the server answers")
    copies = fork(berth, name, "-n", "2")
    ports = {}
    for container in (name, *copies):
        ports[container] = [int(line.rsplit(":", 1)[1]) for line in berth.ok("port", container).splitlines()]
        berth.ok("exec", container, "sh", "-c", "hostname > /www/index.html")
    assert fixed in ports[name]
    assert len({port for several in ports.values() for port in several}) == 6
    for container, several in ports.items():
        for port in several:
            assert wait_until(lambda: fetch(port), f"port {port} answers") == host_name(berth, container) + "\n"


def recorded_ports(berth, of):
    """By the ids of containers that `of` is true for, be they running or not."""
    with contextlib.closing(sqlite3.connect(berth.root / "records.db")) as records:
        rows = records.execute("SELECT p.id, o.port FROM ports o JOIN pods p ON p.serial = o.pod").fetchall()
    return {identity: port for identity, port in rows if of(identity)}


def test_who_connects_before_a_copy_goes_on_spoils_nothing(berth):
    name = unique_name()
    original = berth.ok("run", "-d", "--name", name, "-p", "80", IMAGE, "sh", "-c",
                        "mkdir /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www")
    client = berth.spawn("fork", "-n", "2", name)
    tried = []
    while client.poll() is None:
        for port in recorded_ports(berth, lambda identity: identity != original).values():
            with socket.socket() as early:
                early.setblocking(False)
                tried.append(early.connect_ex(("127.0.0.1", port)))
    assert tried and client.returncode == 0
    for copy in client.communicate()[0].decode().split():
        port = int(berth.ok("port", copy).rsplit(":", 1)[1])
        assert fetch(port) == "here\n"


def take_port_of_first_copy(berth, locks_before, client):
    """Of the first copy that has a record: whoever has its lock holds its start up meanwhile."""
    locks = berth.root / "locks"
    while not (new := set(os.listdir(locks)) - locks_before):
        assert client.poll() is None
    lock = new.pop()
    with open(locks / lock) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert client.poll() is None
        port, = recorded_ports(berth, lambda identity: identity in lock).values()
        return socket.create_server(("0.0.0.0", port))


def test_a_port_that_another_program_takes_meanwhile(berth):
    name = unique_name()
    berth.ok("run", "-d", "--name", name, "-p", "80", IMAGE, "sh", "-c",
             "mkdir /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www")
    locks = set(os.listdir(berth.root / "locks"))
    client = berth.spawn("fork", "-n", "6", "--name", f"{name}-copy", name)
    with take_port_of_first_copy(berth, locks, client) as taken:
        out, err = client.communicate(timeout=DEADLINE)
        assert client.returncode == 0, err
        copies = out.decode().split()
        ports = {int(berth.ok("port", copy).rsplit(":", 1)[1]) for copy in copies}
        assert len(ports) == 6 and taken.getsockname()[1] not in ports
        assert [berth.inspect(f"{name}-copy-{i + 1}")["Id"] for i in range(6)] == copies
        for port in ports:
            assert wait_until(lambda: fetch(port), f"port {port} answers") == "here\n"


@pytest.mark.parametrize("attach", [False, True])
def test_clients_stay_with_the_original(berth, attach):
    name = unique_name()
    command = ("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i $(hostname); usleep 50000; done")
    if attach:
        berth.ok("run", "-d", "--name", name, IMAGE, *command)
        client = berth.spawn("attach", name)
    else:
        client = berth.spawn("run", "--name", name, IMAGE, *command)
    try:
        lines = [client.stdout.readline().split()]
        copy, = fork(berth, name)
        last = int(berth.ok("logs", name).splitlines()[-1].split()[0])
        wait_until(lambda: berth.ok("logs", copy), "the copy goes on")
        while int(lines[-1][0]) < last + 3:
            lines.append(client.stdout.readline().split())
        first = int(lines[0][0])
        assert [int(number) for number, _ in lines] == list(range(first, first + len(lines)))
        assert {host.decode() for _, host in lines} == {host_name(berth, name)}
    finally:
        kill_group(client)
        client.communicate()


def test_input_of_a_copy(berth):
    """The end of input of the original's client is not that of the copy."""
    name = unique_name()
    client = berth.spawn("run", "-i", "--name", name, IMAGE, "sh", "-c",
                         "while read -r line; do echo \"$line $(hostname)\"; done; echo end", stdin=subprocess.PIPE)
    try:
        client.stdin.write(b"first\n")
        client.stdin.flush()
        assert client.stdout.readline().startswith(b"first ")
        copy, = fork(berth, name)
        other = berth.spawn("attach", copy, stdin=subprocess.PIPE)
        try:
            other.stdin.write(b"second\n")
            other.stdin.flush()
            assert other.stdout.readline().decode() == f"second {copy[:12]}\n"
            client.stdin.close()
            assert client.stdout.read() == b"end\n"
            assert client.wait(DEADLINE) == 0
            assert berth.state(copy)["Running"] is True
        finally:
            kill_group(other)
            other.communicate()
    finally:
        kill_group(client)
        client.stdout.close()
        client.stderr.close()
        client.wait()


def test_commands_work_on_a_copy(berth, counter):
    copy, = fork(berth, counter)
    assert berth.ok("exec", copy, "echo", "exec") == "exec"
    assert berth.ok("ssh", copy, "hostname") == copy[:12]
    given = berth.base / "given" / unique_name()
    given.write_text("given\n")
    berth.ok("cp", given, f"{copy}:/given")
    berth.ok("cp", f"{copy}:/count", given)
    assert given.read_text().startswith("1 ")
    berth.ok("pause", copy)
    assert berth.state(copy)["Paused"] is True
    berth.ok("unpause", copy)
    expect_going_on(berth, copy)
    assert json.loads(berth.ok("stats", "--no-stream", "--format", "json", copy))
    rows = [json.loads(line) for line in berth.ok("ps", "--no-trunc", "--format", "json").splitlines()]
    assert {row["ID"]: row["State"] for row in rows}[copy] == "running"
    berth.ok("update", "--cpus", "1", copy)

    berth.ok("stop", "-t", "60", copy)
    assert berth.exit_code(copy) == 7
    assert berth.ok("logs", "--tail", "1", copy) == "end"
    # It boots from its own disk: the loop begins again, the files are those of before.
    lines = berth.ok("cp", f"{copy}:/given", "-")
    assert "given" in lines
    berth.ok("start", copy)
    wait_until(lambda: berth.ok("logs", copy).split("end")[-1].split()[:2] == ["1", "2"], "the copy counts from 1")
    hosts = berth.ok("exec", copy, "cat", "/count").splitlines()
    assert hosts[0] == f"1 {host_name(berth, counter)}" and hosts[-1].endswith(copy[:12])
    berth.ok("restart", "-t", "60", copy)
    assert berth.ok("exec", copy, "cat", "/given") == "given"
    berth.ok("kill", copy)
    assert berth.ok("wait", copy) == "137"
    berth.ok("rm", copy)
    expect_going_on(berth, counter)


def test_a_copy_ends_by_itself(berth):
    name = unique_name()
    berth.ok("run", "-d", "--rm", "--name", name, IMAGE, "sh", "-c",
             "until [ -e /end ]; do usleep 50000; done; exit $(cat /end)")
    stays, goes = fork(berth, name, "-n", "2")
    for container, code in ((goes, 5), (name, 6)):
        waiter = berth.spawn("wait", container)
        # `wait` has no way to say that it waits; it may come too late for a container that goes away.
        berth.ok("exec", container, "sh", "-c", f"echo {code} > /end.new; mv /end.new /end")
        out, _ = waiter.communicate(timeout=DEADLINE)
        assert out in (f"{code}\n".encode(), b"")
        wait_until(lambda: container not in berth.ok("ps", "-a", "-q", "--no-trunc").split(), f"{container} is gone")
    assert berth.state(stays)["Running"] is True


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3), (3, 1, 0, 4, 2)])
def test_removal_in_any_order_frees_every_byte(berth, counter, order):
    child, = fork(berth, counter)
    grandchild, = fork(berth, child)
    snapshot = unique_name("snapshot")
    berth.ok("snapshot", child, snapshot)
    resumed = berth.ok("run", "-d", "--from-snapshot", snapshot)
    things = [counter, child, grandchild, snapshot, resumed]
    for place, thing in enumerate(things[i] for i in order):
        if thing == snapshot:
            berth.ok("snapshot", "rm", snapshot)
        else:
            berth.ok("rm", "-f", thing)
        for other in (things[i] for i in order[place + 1:]):
            if other != snapshot:
                expect_going_on(berth, other)
    assert not list((berth.root / "disks").iterdir())
    assert not list((berth.root / "snapshots").iterdir())
    assert not list((berth.root / "pods").iterdir())


def test_forks_at_once(berth, counter):
    clients = [berth.spawn("fork", "-n", "2", counter) for _ in range(2)]
    copies = []
    for client in clients:
        out, err = client.communicate(timeout=DEADLINE)
        assert client.returncode == 0, err
        copies += out.decode().split()
    assert len(set(copies)) == 4
    for copy in copies:
        expect_continuation(berth, copy, counter)
    expect_continuation(berth, counter)


def test_ten_copies(berth, counter):
    copies = fork(berth, counter, "-n", "10")
    assert len(set(copies)) == 10
    for copy in copies:
        expect_continuation(berth, copy, counter)
    berth.ok("rm", "-f", *copies)
    expect_continuation(berth, counter)


def test_refuses_what_cannot_be_forked(berth, counter):
    expect_error(berth("fork", "no-such-container"), "no-such-container", status=1)
    for number in ("0", "1001", "some"):
        expect_error(berth("fork", "-n", number, counter), "--number", status=1)
    expect_error(berth("fork", "--name", "not/a/name", counter), "not/a/name", status=1)
    berth.ok("pause", counter)
    for command in (("fork", counter), ("snapshot", counter, "refused")):
        expect_error(berth(*command), counter, "is paused: unpause", status=1)
    berth.ok("unpause", counter)
    berth.ok("stop", counter)
    for command in (("fork", counter), ("snapshot", counter, "refused")):
        expect_error(berth(*command), counter, "is not running", status=1)


@pytest.mark.parametrize("what", ["volume", "folder"])
def test_containers_that_share_cannot_be_forked(berth, what):
    name, volume = unique_name(), unique_name("volume")
    folder = berth.base / "given" / unique_name("folder")
    folder.mkdir()
    berth.run_idle(name, "-v", f"{volume if what == 'volume' else folder}:/shared")
    for command in (("fork", name), ("snapshot", name, "refused")):
        expect_error(berth(*command), name, what, status=1)
    assert berth.ok("exec", name, "echo", "alive") == "alive"


def test_a_name_that_is_taken_leaves_nothing(berth, counter):
    other = unique_name("other")
    copies = fork(berth, counter, "--name", f"{other}-2")
    before = berth.census()
    expect_error(berth("fork", "--name", counter, counter), counter, "already|in use|taken", status=1)
    expect_error(berth("fork", "-n", "3", "--name", other, counter), f"{other}-2", status=1)
    expect_census(berth, before)
    expect_going_on(berth, counter)
    expect_going_on(berth, copies[0])


def test_a_copy_is_not_shown_before_it_goes_on(berth, counter):
    """Whoever lists while forks are made sees no half of one."""
    seen = set()
    end = threading.Event()

    def look():
        while not end.is_set():
            for line in berth.ok("ps", "-a", "--format", "json").splitlines():
                seen.add(json.loads(line)["State"])

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            for _ in range(2):
                berth.ok("rm", "-f", *fork(berth, counter, "-n", "2"))
        finally:
            end.set()
        looking.result()
    assert seen <= {"created", "starting", "running", "removing", "stopping", "exited"}, seen
