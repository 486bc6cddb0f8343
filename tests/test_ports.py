"""Published ports, and what the network of a container has."""

import socket
import subprocess
import urllib.request

import pytest

import oci
from conftest import IMAGE
from harness import expect_error, free_port, unique_name, wait_until

pytestmark = pytest.mark.ports

UDP_ECHO = r"""
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
int main(int, char** argv) {
  const int server = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<unsigned short>(atoi(argv[1])));
  if (bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
  for (;;) {
    char packet[2048];
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const ssize_t n = recvfrom(server, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&peer), &size);
    if (n >= 0) sendto(server, packet, static_cast<size_t>(n), 0, reinterpret_cast<sockaddr*>(&peer), size);
  }
}
"""

SERVE = "mkdir -p /www; echo hello from inside > /www/index.html; exec httpd -f -p 80 -h /www"


@pytest.fixture(scope="module")
def echo_image(berth, busybox_layout, given):
    """busybox and a program that sends UDP packets back."""
    (given / "echo.cpp").write_text(UDP_ECHO)
    subprocess.run(["c++", "-static", "-O1", "-o", given / "echo", given / "echo.cpp"], check=True)
    layer = oci.tar(oci.file("bin/udp-echo", (given / "echo").read_bytes(), 0o755))
    berth.ok("pull", "-q", oci.derive(busybox_layout, given / "echo-image", "udp-echo", layers=[layer]))
    return "udp-echo"


def fetch(port, path=""):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        return answer.read().decode()


def try_fetch(port):
    try:
        return fetch(port)
    except OSError:
        return None


def is_refused(port):
    with socket.socket() as client:
        client.settimeout(10)
        return client.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def server(berth, echo_image):
    """A container that serves HTTP on two published ports and UDP on one."""
    name = unique_name("server")
    ports = {"web": free_port(), "local": free_port(), "udp": free_port(socket.SOCK_DGRAM)}
    berth.ok("run", "-d", "--name", name, "-p", f"{ports['web']}:80", "-p", f"127.0.0.1:{ports['local']}:80",
             "-p", f"{ports['udp']}:5353/udp", echo_image, "sh", "-c", f"udp-echo 5353 & {SERVE}")
    yield name, ports
    berth("rm", "-f", name)


def test_tcp(server):
    _, ports = server
    assert wait_until(lambda: try_fetch(ports["web"]), "the server answers") == "hello from inside\n"
    assert fetch(ports["local"]) == "hello from inside\n"


def test_much_over_tcp(berth, server):
    name, ports = server
    wait_until(lambda: try_fetch(ports["web"]), "the server answers")
    berth.ok("exec", name, "sh", "-c", "yes 0123456789abcde | head -c 8388608 > /www/big")
    assert fetch(ports["web"], "big") == "0123456789abcde\n" * 524_288


def test_udp(server):
    _, ports = server
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)

        def echoed():
            client.sendto(b"a packet", ("127.0.0.1", ports["udp"]))
            try:
                return client.recv(2048) == b"a packet"
            except OSError:
                return False

        wait_until(echoed, "a packet comes back")


def test_published_ports_are_shown(berth, server):
    name, ports = server
    assert f"0.0.0.0:{ports['web']}->80/tcp" in berth.ok("ps")
    shown = berth.ok("port", name)
    assert f"80/tcp -> 127.0.0.1:{ports['local']}" in shown
    assert f"5353/udp -> 0.0.0.0:{ports['udp']}" in shown


def test_an_address_is_bound_only_there(server):
    _, ports = server
    with socket.socket() as client:
        client.settimeout(10)
        assert client.connect_ex(("127.0.0.2", ports["local"])) != 0


def test_a_free_port_is_chosen(berth, container):
    name = container("-p", "80", command=("sh", "-c", SERVE))
    port = int(berth.ok("port", name).rsplit(":", 1)[1])
    assert wait_until(lambda: try_fetch(port), "the server answers") == "hello from inside\n"


def test_who_connects_before_the_network_is_there_spoils_nothing(berth):
    """The machine is a clone: until it has its configuration its card has the template's address."""
    name, port = unique_name(), free_port()
    client = berth.spawn("run", "-d", "--name", name, "-p", f"{port}:80", IMAGE, "sh", "-c", SERVE)
    tried = []
    while client.poll() is None:
        with socket.socket() as early:
            early.setblocking(False)
            tried.append(early.connect_ex(("127.0.0.1", port)))
    assert client.returncode == 0, client.communicate()
    try:
        assert tried
        assert wait_until(lambda: try_fetch(port), "the server answers") == "hello from inside\n"
    finally:
        client.communicate()
        berth("rm", "-f", name)


def test_a_port_is_free_after_stop_and_back_after_start(berth, container):
    port = free_port()
    name = container("-p", f"{port}:80", command=("sh", "-c", f"trap 'exit 0' TERM; ({SERVE}) & wait"))
    wait_until(lambda: try_fetch(port), "the server answers")
    berth.ok("stop", name)
    assert is_refused(port)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", port))
    berth.ok("start", name)
    wait_until(lambda: try_fetch(port), "the server answers again")


@pytest.mark.bad_input
def test_a_port_another_container_has(berth, server):
    name, ports = server
    before = berth.census()
    expect_error(berth("run", "--rm", "-p", f"{ports['web']}:80", IMAGE, "true"), str(ports["web"]), name)
    assert berth.census() == before


@pytest.mark.bad_input
def test_a_port_another_program_has(berth):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        before = berth.census()
        expect_error(berth("run", "--rm", "-p", f"127.0.0.1:{port}:80", IMAGE, "true"), str(port), "in use|taken|already")
        assert berth.census()["records"] == before["records"]


def test_user_network_reaches_out(berth, box):
    assert "10.0.2." in berth.ok("exec", box, "ip", "addr")
    assert "default via" in berth.ok("exec", box, "ip", "route")
