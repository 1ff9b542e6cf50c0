# Batches as docs/PROTOCOL.md has them, written byte by byte: on purpose without tarfile.


def header(name, size, kind=b"0"):
    raw = bytearray(512)
    raw[0 : len(name)] = name
    raw[100:136] = b"0000644\x000000000\x000000000\x00%011o\x00" % size
    raw[136:148] = b"00000000000\x00"
    raw[148:156] = b"        "
    raw[156:157] = kind
    raw[257:265] = b"ustar\x0000"
    raw[148:156] = b"%06o\x00 " % sum(raw)
    return bytes(raw)


def batch(files):
    """{name: bytes} -> the bytes of a tar."""
    raw = b""
    for name, content in files.items():
        raw += header(name.encode(), len(content)) + content + bytes(-len(content) % 512)
    return raw + bytes(1024)
