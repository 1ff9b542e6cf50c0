# Moves files between a folder on the PC and the image of a simulated flash: `micropython image.py fill|dump FOLDER IMAGE FS
# SIZE_BYTES`. "fill" makes the image hold what the folder holds, as flashing would; "dump" the other way round. Only what
# differs is written. Started by tools/sim, before the module is switched on and after it was switched off.
import os
import sys

import nor
import vfs

MOUNT = "/.flash"
_FOLDER = 0x4000
_CHUNK_BYTES = 4096
_DOES_NOT_FIT = 28


def entries(folder: str) -> dict:
    """{name: is a folder}"""
    return {entry[0]: entry[1] == _FOLDER for entry in os.ilistdir(folder)}


def mirror(source: str, target: str) -> None:
    """Make the folder `target` hold what `source` holds, and nothing else."""
    wanted, found = entries(source), entries(target)
    for name, is_folder in found.items():
        if wanted.get(name) != is_folder:
            remove(target + "/" + name, is_folder)
    for name in sorted(wanted):
        old, new = source + "/" + name, target + "/" + name
        if wanted[name]:
            if not found.get(name):
                os.mkdir(new)
            mirror(old, new)
        elif found.get(name) is not False or not is_same(old, new):
            copy(old, new)


def remove(path: str, is_folder: bool) -> None:
    if not is_folder:
        os.remove(path)
        return
    for name, is_inner in entries(path).items():
        remove(path + "/" + name, is_inner)
    os.rmdir(path)


def is_same(a: str, b: str) -> bool:
    if os.stat(a)[6] != os.stat(b)[6]:
        return False
    with open(a, "rb") as one, open(b, "rb") as other:
        while True:
            block = one.read(_CHUNK_BYTES)
            if block != other.read(_CHUNK_BYTES):
                return False
            if not block:
                return True


def copy(source: str, target: str) -> None:
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            block = old.read(_CHUNK_BYTES)
            if not block:
                return
            new.write(block)


def mount(image: str, fs: str, size_bytes: int) -> object:
    """Mounts the image, a new one where there is none of that size; -> the device."""
    try:
        is_there = os.stat(image)[6] == size_bytes
    except OSError:
        is_there = False
    if not is_there:
        nor.make_image(image, fs, size_bytes)
    device = nor.Nor(image, fs)
    vfs.mount(nor.file_system(device, fs), MOUNT)
    return device


def main(what: str, folder: str, image: str, fs: str, size_bytes: str) -> int:
    device = mount(image, fs, int(size_bytes))
    try:
        mirror(*((folder, MOUNT) if what == "fill" else (MOUNT, folder)))
    except OSError as error:
        if error.args[0] != _DOES_NOT_FIT or what != "fill":
            raise
        return _DOES_NOT_FIT
    finally:
        vfs.umount(MOUNT)
        device.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
