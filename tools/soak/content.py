# What the application's files hold (on_module.py), made again on the PC.


def content(name, version, size):
    """Of /usr/NAME in this version."""
    line = b"%s %d\n" % (name.encode(), version)
    return (line * (size // len(line) + 1))[:size]


def is_some_version(name, found):
    """Whether a file holds a version of its own, whichever."""
    version = found.partition(b"\n")[0].rpartition(b" ")[2]
    if not found or b"\n" not in found:
        return f"{name} ".encode().startswith(found[: len(name) + 1])  # nothing, or less than a line
    return version.isdigit() and found == content(name, int(version), len(found))
