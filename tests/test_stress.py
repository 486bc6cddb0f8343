"""A short slice of scripts/stress, which runs for ten minutes."""

import pathlib
import subprocess

STRESS = pathlib.Path(__file__).parent.parent / "scripts" / "stress"


def test_a_pod_that_does_everything_at_once_answers_and_does_not_grow(berth):
    result = subprocess.run([STRESS, "15"], env={**berth.environment, "BERTH": str(berth.program)},
                            capture_output=True, timeout=400)
    assert result.returncode == 0, result.stdout.decode() + result.stderr.decode()
