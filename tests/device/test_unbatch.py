# What a module sends as batches is what tools/unbatch makes files of.
import random
import subprocess
import sys

import pytest

from tests.device.ferry import DEVICE
from tools.device_files import ROOT

LOCK = ".unbatch.lock"
CHANCE = random.Random(1)
SIZES = (0, 1, 511, 512, 513, 4096, 9000)
FILES = {f"{'deep/er/' * (i % 3)}{i:02}-grüße 日本.bin": CHANCE.randbytes(SIZES[i % 7]) for i in range(30)}
FILES["n" * 100] = b"as long as a name in a tar may be"
FILES["a folder with a long name/" * 4 + "n" * 99] = b"a name that a tar has in two parts"


@pytest.fixture
def unpacked(ferry, ftpd):
    """unpacked(files): they lie in /usr/out, a cycle and an unbatch run; -> {name: content} on the server."""
    ferry.configure(upload={"from": "/usr/out", "to": "{device}", "mode": "batch", "batch_files": 12})

    def unpacked(files):
        for name, content in files.items():
            ferry.put("out/" + name, content)
        ferry.sync()
        command = [sys.executable, "-m", "tools", "unbatch", str(ftpd.root / DEVICE)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: content for name, content in ftpd.files(DEVICE).items() if name != LOCK}

    return unpacked


def test_the_files_are_there_as_they_were_on_the_module(unpacked):
    assert unpacked(FILES) == FILES


def test_a_later_batch_replaces_what_has_changed(unpacked):
    unpacked(FILES)
    name = sorted(FILES)[3]
    assert unpacked({name: b"changed"}) == {**FILES, name: b"changed"}
