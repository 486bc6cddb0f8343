"""Logins with OpenSSH's clients, and forwarded ports."""

import hashlib
import os
import signal
import socket
import subprocess
import urllib.request

import pytest

from conftest import IMAGE
from harness import DEADLINE, expect_error, free_port, unique_name, wait_until

pytestmark = pytest.mark.ssh

SERVE = ("mkdir -p /www; echo hello from inside > /www/index.html; httpd -p 80 -h /www; "
         "trap 'exit 0' TERM; echo ready; sleep 1000000 & wait")


@pytest.fixture(scope="module")
def web(berth):
    name = unique_name("web")
    berth.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", SERVE)
    berth.wait_for_output(name, "ready")
    yield name
    berth("rm", "-f", name)


@pytest.fixture(scope="module")
def ssh_config(berth, web, given):
    path = given / "ssh_config"
    path.write_text(berth.ok("ssh-config", web) + "\n")
    return path


def run(*command, input=None, environment=None):
    return subprocess.run(command, input=input, capture_output=True, timeout=DEADLINE,
                          env=os.environ | (environment or {}))


@pytest.fixture
def forward(berth, web):
    """Starts `berth port-forward` and returns its process and the local ports it chose."""
    started = []

    def start(*ports):
        process = berth.spawn("port-forward", web, *ports)
        started.append(process)
        local = []
        for _ in ports:
            line = process.stdout.readline().decode()
            assert " -> " in line, process.stderr.read().decode()
            local.append(int(line.split(" -> ")[0].rsplit(":", 1)[1]))
        return process, local

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as answer:
        return answer.read().decode()


def test_forwards_a_port(forward):
    _, (port,) = forward(":80")
    assert fetch(port) == "hello from inside\n"
    assert fetch(port) == "hello from inside\n"


def test_forwards_to_the_port_asked_for(forward):
    wanted = free_port()
    _, (port,) = forward(f"{wanted}:80")
    assert port == wanted
    assert fetch(port) == "hello from inside\n"


def test_a_port_where_nothing_listens_ends_its_connection_only(forward):
    process, (closed, port) = forward(":9", ":80")
    with socket.create_connection(("127.0.0.1", closed), timeout=DEADLINE) as client:
        assert client.recv(1) == b""
    assert "nothing accepts connections at port 9" in process.stderr.readline().decode()
    assert fetch(port) == "hello from inside\n"


def test_carries_a_stream_both_ways_and_half_closes(berth, web, forward):
    server = berth.spawn("exec", web, "nc", "-l", "-p", "7777", "-e", "sha256sum")
    try:
        wait_until(lambda: ":1E61 " in berth.ok("exec", web, "cat", "/proc/net/tcp", "/proc/net/tcp6"), "nc listens")
        _, (port,) = forward(":7777")
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            client.sendall(b"abc" * 1_000_000)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := client.recv(100):
                answer += piece
        assert answer.split()[0].decode() == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    finally:
        server.kill()
        server.communicate()


def test_refuses_what_cannot_be_forwarded(berth, web):
    expect_error(berth("port-forward", web, "0"), "port '0'", status=1)
    expect_error(berth("port-forward", web, "80:x"), "port '80:x'", status=1)
    expect_error(berth("port-forward", "--address", "nowhere", web, "80"), "'nowhere' is not an IP address", status=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        expect_error(berth("port-forward", web, f"{taken.getsockname()[1]}:80"), "in use", status=1)


def test_refuses_a_stopped_container(berth, container):
    name = container(command=("true",))
    berth.ok("wait", name)
    expect_error(berth("port-forward", name, "80"), "is not running", status=1)
    expect_error(berth("ssh", name), "is not running", status=255)


def test_logs_in_with_streams_and_exit_code(berth, web):
    result = berth("ssh", web, "cat; echo to error >&2; exit 7", input=b"to output\n")
    assert (result.status, result.out) == (7, "to output\n")
    assert "to error\n" in result.err


def test_a_login_has_the_users_surroundings(berth, web):
    out = berth.ok("ssh", web, "echo $USER $HOME $SHELL; pwd; id -u; cat /proc/1/comm")
    assert out.splitlines() == ["root /root /bin/sh", "/root", "0", "sh"]
    assert berth.ok("ssh", "-l", "1000", web, "id -u") == "1000"


def test_an_unknown_user_is_told_so(berth, web):
    result = berth("ssh", "-l", "ghost", web, "true")
    assert result.status == 126
    assert "unable to find user ghost" in result.err


def test_a_terminal(ssh_config, web):
    result = run("ssh", "-tt", "-F", ssh_config, f"{web}.berth", "test -t 0 && echo on $TERM",
                 environment={"TERM": "vt100"})
    assert result.stdout == b"on vt100\r\n", result


def test_the_end_by_a_signal(ssh_config, web):
    # ssh has no code for it; 255 is its own.
    assert run("ssh", "-F", ssh_config, f"{web}.berth", "kill -KILL $$").returncode == 255


def test_openssh_by_its_configuration(ssh_config, web):
    result = run("ssh", "-F", ssh_config, f"{web}.berth", "echo $((6*7))")
    assert (result.returncode, result.stdout) == (0, b"42\n"), result.stderr


def test_openssh_forwards_a_port(ssh_config, web):
    port = free_port()
    client = subprocess.Popen(["ssh", "-F", ssh_config, "-N", "-L", f"{port}:localhost:80", f"{web}.berth"],
                              stderr=subprocess.PIPE)
    try:
        def answer():
            try:
                return fetch(port)
            except OSError:
                return None
        assert wait_until(answer, "the port is forwarded") == "hello from inside\n"
    finally:
        client.terminate()
        client.communicate()


def test_many_logins_at_once(ssh_config, web):
    clients = [subprocess.Popen(["ssh", "-F", ssh_config, f"{web}.berth", f"sleep 1; echo {i}"], stdout=subprocess.PIPE)
               for i in range(5)]
    assert [client.communicate(timeout=DEADLINE)[0] for client in clients] == [f"{i}\n".encode() for i in range(5)]


def test_a_terminal_that_goes_away_hangs_up(berth, ssh_config, web):
    client = subprocess.Popen(["ssh", "-tt", "-F", ssh_config, f"{web}.berth", "echo up; exec sleep 31415"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert client.stdout.readline().strip() == b"up"
    assert "31415" in berth.ok("exec", web, "ps")
    client.kill()
    client.communicate()
    wait_until(lambda: "31415" not in berth.ok("exec", web, "ps"), "the session was hung up")


def keepalive_client(config, name, count, *command):
    return subprocess.Popen(["ssh", "-vvv", "-F", config, "-o", "ServerAliveInterval=1",
                             "-o", f"ServerAliveCountMax={count}", f"{name}.berth", *command],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_keepalives_are_answered(ssh_config, web):
    client = keepalive_client(ssh_config, web, DEADLINE, "echo up; read line; echo $line")
    try:
        assert client.stdout.readline() == b"up\n"
        asked = answered = 0
        # SSH_MSG_GLOBAL_REQUEST; SSH_MSG_REQUEST_SUCCESS and FAILURE
        while answered < 3:
            line = client.stderr.readline()
            assert line, "ssh has ended"
            asked += b"send packet: type 80" in line
            answered += asked > 0 and (b"receive packet: type 81" in line or b"receive packet: type 82" in line)
        out, _ = client.communicate(b"still here\n", timeout=DEADLINE)
        assert (out, client.returncode) == (b"still here\n", 0)
    finally:
        client.kill()
        client.communicate()


def test_a_machine_that_stands_still_ends_the_login(berth, container, given):
    name = container()
    config = given / unique_name("ssh_config")
    config.write_text(berth.ok("ssh-config", name) + "\n")
    # A busy host may answer late.
    client = keepalive_client(config, name, 20, "-tt", "echo up; exec sleep 27182")
    assert client.stdout.readline().strip() == b"up"
    berth.ok("pause", name)
    _, err = client.communicate(timeout=DEADLINE)
    assert client.returncode == 255
    assert b"not responding" in err
    berth.ok("unpause", name)
    wait_until(lambda: "27182" not in berth.ok("exec", name, "ps"), "the session was hung up")
    assert run("ssh", "-F", config, f"{name}.berth", "echo again").stdout == b"again\n"


def test_a_key_of_the_users_own(berth, container, given):
    key = given / "own_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    name = container("--ssh-key", f"{key}.pub")
    config = given / "own_config"
    lines = berth.ok("ssh-config", name).splitlines()
    config.write_text("\n".join(f"  IdentityFile {key}" if "IdentityFile" in line else line for line in lines) + "\n")
    assert run("ssh", "-F", config, f"{name}.berth", "echo in").stdout == b"in\n"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", given / "strange_key"], check=True)
    config.write_text(config.read_text().replace("own_key", "strange_key"))
    result = run("ssh", "-F", config, f"{name}.berth", "echo in")
    assert result.returncode == 255
    assert b"Permission denied" in result.stderr


def test_refuses_what_is_no_public_key(berth, given):
    private = given / "not_public"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    expect_error(berth("create", "--ssh-key", private, IMAGE), "not a public key")
    expect_error(berth("create", "--ssh-key", given / "missing", IMAGE), "missing")


@pytest.fixture
def tree(given):
    folder = given / unique_name("tree")
    (folder / "deep").mkdir(parents=True)
    (folder / "text").write_text("text\n")
    (folder / "deep" / "bytes").write_bytes(os.urandom(3_000_000))
    (folder / "deep").chmod(0o751)
    (folder / "text").chmod(0o640)
    return folder


def same_trees(left, right):
    return subprocess.run(["diff", "-r", left, right]).returncode == 0


def test_scp_in_and_out(berth, ssh_config, web, tree, given):
    result = run("scp", "-rpF", ssh_config, tree, f"{web}.berth:/srv-{tree.name}")
    assert result.returncode == 0, result.stderr
    assert berth.ok("exec", web, "stat", "-c", "%a %u", f"/srv-{tree.name}/deep", f"/srv-{tree.name}/text") == \
        "751 0\n640 0"
    back = given / (tree.name + "-back")
    result = run("scp", "-rpF", ssh_config, f"{web}.berth:/srv-{tree.name}", back)
    assert result.returncode == 0, result.stderr
    assert same_trees(tree, back)
    assert (back / "text").stat().st_mtime == int((tree / "text").stat().st_mtime)


def test_a_large_file_by_scp(berth, ssh_config, web, given):
    berth.ok("exec", web, "sh", "-c", "head -c 20000000 /dev/urandom > /large")
    expected = berth.ok("exec", web, "sha256sum", "/large").split()[0]
    for attempt in range(3):
        result = run("scp", "-F", ssh_config, f"{web}.berth:/large", given / "large")
        assert result.returncode == 0, result.stderr
        assert hashlib.sha256((given / "large").read_bytes()).hexdigest() == expected, attempt


def test_sftp(berth, ssh_config, web):
    batch = b"""mkdir /sftp
cd /sftp
put /etc/passwd copy
rename copy moved
ln -s moved link
ln moved twin
chmod 600 moved
ls -l
-get /nowhere
rm twin
"""
    result = run("sftp", "-b", "-", "-F", ssh_config, f"{web}.berth", input=batch)
    assert result.returncode == 0, result.stderr
    assert b'File "/nowhere" not found' in result.stderr
    assert b"-rw-------" in result.stdout
    assert berth.ok("exec", web, "sh", "-c", "cd /sftp; ls; readlink link; stat -c %a moved; cat moved") == \
        "link\nmoved\nmoved\n600\n" + open("/etc/passwd").read().rstrip("\n")


def test_sftp_has_the_users_rights(ssh_config, web):
    result = run("scp", "-F", ssh_config, "/etc/passwd", f"1000@{web}.berth:/etc/passwd")
    assert result.returncode != 0
    assert b"ermission denied" in result.stderr
