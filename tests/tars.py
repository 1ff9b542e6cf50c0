"""What is in a batch, read as strictly as a tar can be."""

import io
import tarfile


def members(raw):
    """[(name, content)] of a tar, or None if it is not whole: one that was cut has no end."""
    if len(raw) % tarfile.BLOCKSIZE or raw[-2 * tarfile.BLOCKSIZE :] != bytes(2 * tarfile.BLOCKSIZE):
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            return [(member.name, tar.extractfile(member).read()) for member in tar]
    except tarfile.TarError:
        return None
