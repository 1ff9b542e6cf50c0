import pytest

from app.sync.rules import (
    NAME_BYTES,
    is_protected,
    is_selected,
    matches,
    temp_name,
    why_unsafe,
    why_unsendable,
)
from tools.device_files import device_files

DIGEST = b"\x1a\x2b\x3c\x4d\x5e\x6f\x70\x81"

# What the firmware keeps in /usr, and what is Ferry's own.
PROTECTED = [
    "/usr/system_config.json",
    "/usr/user_apn.json",
    "/usr/apn_cfg.json",
    "/usr/datacall_config.json",
    "/usr/checksum.json",
    "/usr/q_init_fs.py",
    "/usr/.updater",
    "/usr/.updater/usr/x.py",
    "/usr/config.json",
    "/usr/.ferry",
    "/usr/.ferry/ledger",
    "/sd/.ferry/1a2b.part",
    "/usr/app",
    "/usr/app/sync/rules.py",
    "/bak",
    "/bak/usr/main.py",
    "/usr/data/a.csv.1a2b3c4d.part",
    "/usr/" + "x.part",
] + ["/usr/" + path.as_posix() for path in device_files()]

FREE = [
    "/usr",
    "/usr/data",
    "/usr/data/config.json",
    "/usr/data/app/x",
    "/usr/config.json.txt",
    "/usr/application/x",
    "/usr/part",
    "/usr/a.partial",
    "/sd/config.json",
    "/sd/usr/config.json",
    "/sd/bak",
    "/usr/bak/x",
    "/usr/_main.py",
]

FORMS = {
    "as it is": lambda path: path,
    "upper case": str.upper,
    "mixed case": str.title,
    "slash behind": lambda path: path + "/",
    "no slash in front": lambda path: path[1:],
    "two slashes in front": lambda path: "/" + path,
    "two slashes inside": lambda path: "/" + path[1:].replace("/", "//"),
    "dot inside": lambda path: "/" + path[1:].replace("/", "/./"),
    "dot in front": lambda path: "/." + path,
}


@pytest.mark.parametrize("form", FORMS)
def test_protected_in_every_form(form):
    assert [path for path in PROTECTED if not is_protected(FORMS[form](path))] == []


@pytest.mark.parametrize("form", FORMS)
def test_what_is_the_users_is_not_protected(form):
    assert [path for path in FREE if is_protected(FORMS[form](path))] == []


def test_compiled_files_of_ferry_are_protected():
    for path in device_files():
        assert path.name == "main.py" or is_protected("/usr/" + path.with_suffix(".mpy").as_posix())


# --- patterns


@pytest.mark.parametrize(
    ("pattern", "name", "does"),
    [
        ("*", "a.txt", True),
        ("*", "", True),
        ("*", "a/b", False),
        ("*.txt", "a.txt", True),
        ("*.txt", ".txt", True),
        ("*.txt", "a.txt.bak", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-b-c-d", False),
        ("**", "abc", True),
        ("?", "a", True),
        ("?", "", False),
        ("?", "/", False),
        ("a?c", "abc", True),
        ("a/*/c", "a/b/c", True),
        ("a/*/c", "a/b/b/c", False),
        ("*/*.txt", "a/b.txt", True),
        ("*/*.txt", "b.txt", False),
        ("a/*", "a/", True),
        ("[ab].txt", "a.txt", False),
        ("[ab].txt", "[ab].txt", True),
        ("", "", True),
        ("", "a", False),
        ("A.TXT", "a.txt", False),
        ("a*", "a" * 1000, True),
        ("*a" * 30 + "b", "a" * 200, False),
    ],
)
def test_matches(pattern, name, does):
    assert matches(pattern, name) is does


@pytest.mark.parametrize(
    ("relative", "include", "exclude", "is_wanted"),
    [
        ("a.txt", [], [], True),
        ("a.txt", ["*.txt"], [], True),
        ("a.csv", ["*.txt"], [], False),
        ("a.csv", ["*.txt", "*.csv"], [], True),
        ("sub/a.txt", ["*.txt"], [], True),  # without "/": the name in any folder
        ("sub/a.txt", ["sub/*.txt"], [], True),  # with "/": the path
        ("x/sub/a.txt", ["sub/*.txt"], [], False),
        ("logs/a", ["logs/"], [], True),
        ("logs/x/y/a", ["logs/"], [], True),
        ("xlogs/a", ["logs/"], [], False),
        ("logs", ["logs/"], [], False),
        ("a.txt", [], ["*.txt"], False),
        ("a.txt", ["a.*"], ["*.txt"], False),  # exclude wins
        ("sub/a.txt", [], ["sub/"], False),
    ],
)
def test_is_selected(relative, include, exclude, is_wanted):
    assert is_selected(relative, include, exclude) is is_wanted


# --- names on the server


def last_bytes(remote):
    return len(remote.rsplit("/", 1)[-1].encode())


def test_temp_name_says_name_content_and_attempt():
    assert temp_name("in/a.csv", DIGEST) == "in/1a2b3c4d.a.csv.part"
    assert temp_name("in/a.csv", DIGEST, 3) == "in/1a2b3c4d-3.a.csv.part"


def test_no_beginning_of_a_temp_name_is_the_final_name():
    temp = temp_name("in/a.csv", DIGEST)
    assert "in/a.csv" not in [temp[:n] for n in range(len(temp))]


def test_temp_names_differ_by_content_and_attempt():
    assert len({temp_name("a", bytes([d]) * 8, n) for d in range(9) for n in range(9)}) == 81


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac", "\U0001f600"])
@pytest.mark.parametrize("attempt", [0, 1, 99])
def test_temp_name_of_a_long_name_fits_and_cuts_no_character(letter, attempt):
    for shift in range(4):
        for length in range(230, NAME_BYTES + 1):
            name = ("y" * shift + letter * 255).encode()[:length].decode(errors="ignore")
            temp = temp_name("in/" + name, DIGEST, attempt)
            assert last_bytes(temp) <= NAME_BYTES
            assert temp.startswith("in/")
            assert temp.endswith(".part")
            kept = temp[3:].split(".", 1)[1][: -len(".part")]
            assert name.startswith(kept)
            assert last_bytes(temp) > min(NAME_BYTES - 4, len(name.encode()))  # no more is cut than needed


def test_temp_name_is_recognised_as_one():
    assert is_protected("/sd/" + temp_name("a", DIGEST))


# --- names that cannot travel


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\0", "\x7f"])
def test_control_characters_are_unsendable_and_unsafe(name):
    assert "control character" in why_unsendable("/usr/" + name)
    assert "control character" in why_unsafe(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc", "a\\b", "x" * 256, "\u20ac" * 86])
def test_unsafe_names_of_a_server(name):
    assert why_unsafe(name)


@pytest.mark.parametrize("name", ["a", "...", " a ", "x" * 255, "\u20ac" * 85, "-la", "a;b", ".hidden"])
def test_safe_names_of_a_server(name):
    assert why_unsafe(name) is None
    assert why_unsendable("/usr/" + name) is None
