# Sample files for a first run: names and contents that break careless code.
import os
import random

ALL_BYTES = bytes(range(256))


def fill_module(usr, seed, is_small=False):
    """Files that a module might hold in /usr, the firmware's own among them; fewer for a small flash."""
    noise = random.Random(seed)
    if is_small:
        _write(
            usr,
            {
                "data/empty.bin": b"",
                "data/all bytes.bin": ALL_BYTES * 4,
                "data/grüße-日本.txt": "Grüße\n".encode(),
                "data/100% [done] #1.txt": b"not a pattern\n",
                "data/capture.bin": noise.randbytes(4_003),
            },
        )
        return
    _write(
        usr,
        {
            "data/readings 2026-01.csv": b"time;value\r\n0;21.5\r\n60;21.7\r\n",
            "data/no final newline.txt": b"first\nlast",
            "data/empty.bin": b"",
            "data/all bytes.bin": ALL_BYTES * 4,
            "data/grüße-日本.txt": "Grüße\n".encode(),
            "data/100% [done] #1 *.txt": b"not a pattern\n",
            "data/" + "n" * 196 + ".txt": b"a name of 200 characters\n",
            "data/deep/deeper/deepest/note.txt": b"nested\n",
            "data/capture.bin": noise.randbytes(1_000_003),
            "data/unfinished.part": b"a temp name stays here\n",
            "user_apn.json": b"{}",
            "checksum.json": b"[]",
            ".updater/pending.txt": b"the firmware's\n",
        },
    )


def add_firmware_file(usr):
    """The file that the firmware makes at its first boot, before there is any app; a folder of a person's own lacks it."""
    path = usr / "system_config.json"
    if not path.exists():
        path.write_text('{"replFlag": 0}', encoding="utf-8")


def fill_server(updates, seed, is_small=False):
    """Files that wait for the module in the server's update folder; fewer for a small flash."""
    noise = random.Random(seed + 1)
    if is_small:
        _write(updates, {"news/dos.txt": b"one\r\ntwo\r\n", "image.bin": noise.randbytes(3_003)})
        return
    _write(
        updates,
        {
            "news/unix.txt": b"one\ntwo\n",
            "news/dos.txt": b"one\r\ntwo\r\n",
            "news/no final newline.txt": b"one\ntwo",
            "news/empty.txt": b"",
            "all bytes.bin": ALL_BYTES,
            "firmware/image.bin": noise.randbytes(100_003),
            "system_config.json": b"must not arrive\n",
        },
    )


def _write(folder, files):
    for name, content in files.items():
        if os.name == "nt" and "*" in name:
            continue  # Windows has no such names
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
