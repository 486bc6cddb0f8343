"""Configurations as documents and as pairs. Nothing here starts a machine."""

import json
import subprocess

import pytest

from harness import Berth

pytestmark = pytest.mark.config

MACHINE = {"hostname": "web", "sessions": {"main": {"cmd": {"path": "/bin/sh", "args": ["sh", "-c", "a | b\n"]}}}}
APPLIANCE = {"connection": {"target": "vc.example.org", "token": "open sesame"}}


@pytest.fixture(scope="module")
def berth(given):
    folder = given / "config"
    folder.mkdir()
    return Berth(folder)


@pytest.fixture
def key(berth, tmp_path):
    path = tmp_path / "key"
    berth.ok("config", "generate-key", path)
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def as_input(document):
    return json.dumps(document).encode()


def test_standard_input_to_standard_output(berth):
    pairs = json.loads(berth.ok("config", "encode", input=as_input(MACHINE)))
    assert pairs["guestinfo.vice./hostname"] == "web"
    assert pairs["guestinfo.vice./sessions|main/cmd/Args|2"] == "a | b\n"
    document = json.loads(berth.ok("config", "decode", "-", input=as_input(pairs)))
    assert document["hostname"] == "web"
    assert document["sessions"]["main"]["cmd"]["args"] == MACHINE["sessions"]["main"]["cmd"]["args"]
    assert json.loads(berth.ok("config", "encode", "-", input=as_input(document))) == pairs


def test_a_guest_sees_its_part(berth):
    pairs = json.loads(berth.ok("config", "encode", "--scope", "guest", input=as_input(MACHINE)))
    assert pairs and all(key.startswith("guestinfo.") for key in pairs)
    hidden = json.loads(berth.ok("config", "encode", "--not-scope", "guest", input=as_input(MACHINE)))
    assert hidden and not any(key.startswith("guestinfo.") for key in hidden)


def test_secrets_need_a_key(berth, key, tmp_path):
    appliance = ("--type", "appliance")
    refused = berth("config", "encode", *appliance, input=as_input(APPLIANCE))
    assert refused.status == 1 and refused.out == "" and "open sesame" not in refused.err, str(refused)
    sealed = berth.ok("config", "encode", *appliance, "--key-file", key, input=as_input(APPLIANCE))
    assert "open sesame" not in sealed and key.read_text().strip() not in sealed
    opened = json.loads(berth.ok("config", "decode", *appliance, "--key-file", key, input=sealed.encode()))
    assert opened["connection"]["token"] == "open sesame"

    (tmp_path / "sealed").write_text(sealed)
    from_input = berth.ok("config", "decode", *appliance, "--key-file", "-", tmp_path / "sealed", input=key.read_bytes())
    assert json.loads(from_input) == opened
    twice = berth("config", "decode", *appliance, "--key-file", "-", input=key.read_bytes())
    assert twice.status == 1 and "standard input" in twice.err, str(twice)


def test_damage_names_the_key(berth, key):
    pairs = {"guestinfo.vice./connect/token@secret": "cnViYmlzaA=="}
    result = berth("config", "decode", "--type", "appliance", "--key-file", key, input=as_input(pairs))
    assert result.status == 1 and "guestinfo.vice./connect/token@secret" in result.err, str(result)
    result = berth("config", "decode", input=as_input({"guestinfo.vice..createtime": "soon"}))
    assert result.status == 1 and "guestinfo.vice..createtime" in result.err, str(result)
    assert result.out == ""


def test_differences_are_as_with_diff(berth, tmp_path):
    for name, pairs in {"a": {"x": "1"}, "b": {"x": "1"}, "c": {"x": "2"}}.items():
        (tmp_path / name).write_text(json.dumps(pairs))
    statuses = [berth("config", "diff", tmp_path / "a", tmp_path / other).status for other in ("b", "c", "nothing")]
    assert statuses == [0, 1, 2]
    assert berth("config", "diff", "-", tmp_path / "c", input=b'{"x": "1"}').out == '- "x": "1"\n+ "x": "2"\n'


def test_a_reader_that_is_gone_is_a_failure(berth):
    with open("/dev/full", "wb") as full:
        process = berth.spawn("config", "encode", stdin=subprocess.PIPE, stdout=full)
        _, err = process.communicate(as_input(MACHINE))
    assert process.returncode == 1 and b"standard output" in err
