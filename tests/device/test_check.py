# check() on the module: every hop in order, each with a line, and nothing left on the server.

CHECK = """
import usys
usys.path.append("/usr")
from app.check import check
print("check says", check())
"""


def walk(ferry, **world):
    """The lines of check() from a fresh REPL."""
    return ferry.boot(main=CHECK, **world)


def hops(boot):
    """[(mark, hop)] of the lines, in their order."""
    return [(line[:6].rstrip(), line[6:22].rstrip()) for line in boot.lines if line[:6].rstrip() in MARKS]


MARKS = ("ok", "WRONG", "note", "-")


def test_a_module_that_works_walks_every_hop_and_leaves_nothing(ferry, ftpd):
    ftpd.put("m1/data.txt", b"data")
    boot = walk(ferry)
    print(boot.text)
    assert boot.lines[-1] == "check says True", boot.text
