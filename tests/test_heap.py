"""Memory that was freed goes back to the system, and not at every step."""

import subprocess
import sys

import pytest

from fidelity_gate.heap import Giver, give_back

# Small blocks with one that stays at the end: freed, they stay in the heap.
MEASURED = """
import re
from pathlib import Path
from fidelity_gate.heap import give_back

def resident():
    return int(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

blocks = [bytes(50_000) for _ in range(1000)]
last = bytes(50_000)
del blocks
before = resident()
give_back()
print(before - resident())
"""


def test_memory_is_given_back_no_sooner_than_the_time_between():
    times = iter([0.0, 0.4, 0.5, 0.6, 0.9, 1.1, 1.2])
    giver = Giver(0.5, lambda: next(times))
    assert [giver.now_and_then() for _ in range(4)] == [False, True, False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_leaves_the_process():
    found = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    give_back()  # and here it does no harm
    assert int(found.stdout) > 30_000
