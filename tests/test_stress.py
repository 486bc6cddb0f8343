import os
import subprocess

from harness import REPOSITORY, find_program


def test_a_slice_of_the_stress_leaves_the_pod_answering_and_nothing_grown():
    environment = {**os.environ, "BERTH": str(find_program())}
    result = subprocess.run([REPOSITORY / "scripts" / "stress", "10", "30"], env=environment, capture_output=True,
                            text=True, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr
