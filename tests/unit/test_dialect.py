# The dialect gate: what a desktop Python (and a newer MicroPython) has and the module's firmware of 2021 lacks.
# One row per rule: why, what it looks for, and a bad sample that proves that it fires.
import ast
import io
import re
import tokenize
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.unit import device_code as code


class Rule(NamedTuple):
    name: str
    why: str
    bad: str
    finds: Callable  # Source -> line numbers


def node(test, *kinds):
    """A rule on single nodes of the syntax tree."""
    return lambda source: [n.lineno for n in source.nodes if isinstance(n, kinds) and test(n)]


def attribute(*names):
    return node(lambda n: n.attr in names, ast.Attribute)


def name(*names):
    return node(lambda n: n.id in names, ast.Name)


def call(function, test):
    """A rule on calls of `function`, as a plain name or a method."""
    return node(lambda n: _called(n) == function and test(n), ast.Call)


def method(*names):
    """A class of ours that defines one of these."""
    return node(
        lambda n: any(isinstance(item, ast.FunctionDef) and item.name in names for item in n.body), ast.ClassDef
    )


def _called(n):
    return n.func.attr if isinstance(n.func, ast.Attribute) else getattr(n.func, "id", "")


def _constant(n, kinds):
    return isinstance(n, ast.Constant) and isinstance(n.value, kinds)


def _in_fallback(source):
    """Lines of imports that a module never reaches: in the handler of `except ImportError`, or in a function `..._on_pc`."""

    def is_fallback(n):
        if isinstance(n, ast.ExceptHandler):
            return n.type is not None and "ImportError" in ast.unparse(n.type)
        return isinstance(n, ast.FunctionDef) and n.name.endswith("_on_pc")

    return _lines_inside(source, is_fallback, (ast.Import, ast.ImportFrom))


def _lines_inside(source, is_outer, kinds):
    return {n.lineno for outer in source.nodes if is_outer(outer) for n in ast.walk(outer) if isinstance(n, kinds)}


def _stream_reads(source):
    """A TLS socket of the firmware has nothing but read, readinto and readline; a class for one says Tls in its name."""
    tls = _lines_inside(source, lambda n: isinstance(n, ast.ClassDef) and "Tls" in n.name, ast.Attribute)
    return [
        n.lineno
        for n in source.nodes
        if isinstance(n, ast.Attribute) and n.attr in ("readinto", "readline", "makefile")
        if "sock" in ast.unparse(n.value).lower() and n.lineno not in tls
    ]


def _foreign_imports(source):
    known = code.PLAIN | code.FIRMWARE | {"app", "ftp_manager"}
    fallback = _in_fallback(source)
    return [line for line, module in code.imports(source) if module.split(".")[0] not in known and line not in fallback]


def _escapes(source):
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.STRING:
            prefix = token.string[: min(token.string.find(quote) % 99 for quote in "'\"")].lower()
            wide = re.search(r"(?<!\\)(\\\\)*\\(u|U|N|x[89a-fA-F])", token.string)
            if wide and "b" not in prefix and "r" not in prefix:
                found.append(token.start[0])
    return found


def _docstrings(source):
    for n in source.nodes:
        if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(n) is not None:
            yield n.body[0].value


def _wide_text(n):
    return isinstance(n.value, str) and not n.value.isascii()


def _non_ascii(source):
    docs = set(_docstrings(source))
    return [n.lineno for n in source.nodes if isinstance(n, ast.Constant) and n not in docs and _wide_text(n)]


def _slice_targets(context):
    """Slices of a buffer that are written or deleted; a list can do it. Buffer is what is made or named as one."""

    def finds(source):
        made = {
            _last_name(target)
            for n in source.nodes
            if isinstance(n, ast.Assign)
            and isinstance(n.value, ast.Call)
            and _called(n.value) in ("bytearray", "memoryview")
            for target in n.targets
        }
        return [
            n.lineno
            for n in source.nodes
            if isinstance(n, ast.Subscript)
            and isinstance(n.slice, ast.Slice)
            and isinstance(n.ctx, context)
            and (_last_name(n.value) in made or re.search("buf|view", _last_name(n.value)))
        ]

    return finds


def _last_name(n):
    return n.attr if isinstance(n, ast.Attribute) else getattr(n, "id", "")


def _broad(handler):
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")


def _silent(handler):
    return all(isinstance(item, (ast.Pass, ast.Continue)) for item in handler.body)


def _sample_of(*lines):
    return "\n".join(lines) + "\n"


RULES = (
    # syntax
    Rule("f-string", "SyntaxError", "x = f'{y}'", node(lambda n: True, ast.JoinedStr)),
    Rule("match statement", "SyntaxError", "match x:\n    case 1: pass", node(lambda n: True, ast.Match)),
    Rule("positional-only", "SyntaxError", "def f(a, /): pass", node(lambda n: n.args.posonlyargs, ast.FunctionDef)),
    Rule(
        "unpack in display",
        "SyntaxError: [*a, b]",
        "x = [*a, b]",
        node(
            lambda n: isinstance(n.ctx, ast.Load) and any(isinstance(e, ast.Starred) for e in n.elts),
            ast.List,
            ast.Tuple,
        ),
    ),
    Rule("unpack in dict", "SyntaxError: {**a}", "x = {**a}", node(lambda n: None in n.keys, ast.Dict)),
    Rule(
        "two stars in a call",
        "SyntaxError",
        "f(*a, *b)",
        node(lambda n: sum(isinstance(a, ast.Starred) for a in n.args) > 1, ast.Call),
    ),
    Rule("slice step", "NotImplementedError", "x = y[::2]", node(lambda n: n.step is not None, ast.Slice)),
    Rule(
        "slice assignment",
        "no slice assignment or deletion on bytearray and memoryview; use ustruct.pack_into",
        "buf[0:4] = data",
        _slice_targets(ast.Store),
    ),
    Rule("slice deletion", "compiles and fails when run", "x = bytearray(9)\ndel x[:4]", _slice_targets(ast.Del)),
    Rule("wide escape", "a text is bytes: an escape above \\x7f is cut or is no UTF-8", "x = '\\u20ac'", _escapes),
    Rule("wide text", "a text is bytes: its length and its slices differ from the desktop's", "x = 'é'", _non_ascii),
    Rule(
        "relative import",
        "one spelling of each name: app.x",
        "from . import errors",
        node(lambda n: n.level > 0, ast.ImportFrom),
    ),
    # text and bytes
    Rule("str.partition", "absent", "a.partition(b)", attribute("partition", "rpartition")),
    Rule("str.splitlines", "absent", "a.splitlines()", attribute("splitlines")),
    Rule(
        "str.zfill",
        "absent",
        "a.zfill(3)",
        attribute("zfill", "ljust", "rjust", "expandtabs", "translate", "maketrans"),
    ),
    Rule("str.center", "absent", "a.center(9)", attribute("center")),
    Rule(
        "str.casefold",
        "absent",
        "a.casefold()",
        attribute(
            "casefold",
            "title",
            "capitalize",
            "swapcase",
            "isalnum",
            "isidentifier",
            "isprintable",
            "isdecimal",
            "isascii",
        ),
    ),
    Rule("str.removeprefix", "absent", "a.removeprefix(b)", attribute("removeprefix", "removesuffix", "format_map")),
    Rule("bytes.hex", "absent; use ubinascii", "a.hex()", attribute("hex", "fromhex")),
    Rule(
        "startswith a tuple",
        "TypeError; test one by one",
        "a.startswith(('x', 'y'))",
        call("startswith", lambda n: n.args and isinstance(n.args[0], ast.Tuple)),
    ),
    Rule(
        "endswith a tuple",
        "TypeError; test one by one",
        "a.endswith(('x', 'y'))",
        call("endswith", lambda n: n.args and isinstance(n.args[0], ast.Tuple)),
    ),
    Rule(
        "decode keywords",
        "decode ignores encoding and errors, and never validates",
        "a.decode('ascii', errors='strict')",
        call("decode", lambda n: isinstance(n.func, ast.Attribute) and (n.keywords or len(n.args) > 1)),
    ),
    Rule(
        "encode keywords",
        "encode takes no keywords",
        "a.encode('ascii', errors='strict')",
        call("encode", lambda n: isinstance(n.func, ast.Attribute) and (n.keywords or len(n.args) > 1)),
    ),
    # numbers
    Rule(
        "from_bytes keywords",
        "positional only",
        "int.from_bytes(b, byteorder='big')",
        call("from_bytes", lambda n: n.keywords or len(n.args) != 2),
    ),
    Rule(
        "to_bytes keywords",
        "positional only",
        "n.to_bytes(2, byteorder='big')",
        call("to_bytes", lambda n: n.keywords or len(n.args) != 2),
    ),
    Rule("bit_length", "absent", "n.bit_length()", attribute("bit_length", "bit_count", "is_integer")),
    # builtins
    Rule("reversed", "absent", "reversed(a)", name("reversed")),
    Rule("frozenset", "absent", "frozenset(a)", name("frozenset")),
    Rule("vars and slice()", "absent", "vars(a)", name("vars", "slice", "ascii", "breakpoint")),
    Rule("next with default", "TypeError", "next(it, None)", call("next", lambda n: len(n.args) > 1)),
    Rule("dict.fromkeys", "absent", "dict.fromkeys(a)", attribute("fromkeys")),
    Rule("OrderedDict", "absent; dicts have no order", "OrderedDict()", name("OrderedDict", "defaultdict", "Counter")),
    Rule(
        "print flush",
        "no such keyword",
        "print(a, flush=True)",
        call("print", lambda n: any(k.arg == "flush" for k in n.keywords)),
    ),
    Rule(
        "special methods",
        "never called",
        "class A:\n    def __del__(self): pass",
        method(
            "__del__",
            "__setattr__",
            "__delattr__",
            "__getattribute__",
            "__get__",
            "__set__",
            "__set_name__",
            "__init_subclass__",
            "__class_getitem__",
            "__reversed__",
            "__radd__",
            "__rsub__",
            "__rmul__",
            "__ror__",
            "__rand__",
        ),
    ),
    Rule(
        "function.__name__",
        "absent on functions",
        "f.__name__",
        node(lambda n: n.attr == "__name__" and not isinstance(n.value, ast.Call), ast.Attribute),
    ),
    # exceptions
    Rule("OSError.errno", "absent; use e.args[0]", "e.errno", attribute("errno", "strerror", "filename")),
    Rule(
        "newer exceptions",
        "not defined; use OSError and its number",
        "raise TimeoutError()",
        name(
            "TimeoutError",
            "FileNotFoundError",
            "FileExistsError",
            "ConnectionError",
            "ConnectionResetError",
            "ConnectionRefusedError",
            "BrokenPipeError",
            "BlockingIOError",
            "InterruptedError",
            "PermissionError",
            "IsADirectoryError",
            "NotADirectoryError",
            "UnicodeError",
            "UnicodeDecodeError",
            "UnicodeEncodeError",
            "RecursionError",
            "ModuleNotFoundError",
            "IOError",
            "EnvironmentError",
        ),
    ),
    Rule("sys.exc_info", "absent; use usys.print_exception", "usys.exc_info()", attribute("exc_info", "format_exc")),
    Rule("uerrno.ENOSPC", "absent; use 28", "uerrno.ENOSPC", attribute("ENOSPC", "ENOTEMPTY", "errorcode")),
    Rule(
        "bare except",
        "eats Ctrl-C as well",
        _sample_of("try:", "    f()", "except:", "    g()"),
        node(lambda n: n.type is None or ast.unparse(n.type) == "BaseException", ast.ExceptHandler),
    ),
    Rule(
        "swallowed error",
        "an error is answered, or goes on up",
        _sample_of("try:", "    f()", "except Exception:", "    pass"),
        node(lambda n: _broad(n) and _silent(n), ast.ExceptHandler),
    ),
    # libraries
    Rule(
        "desktop import",
        "absent on the firmware of 2021: the u-name first, this one only in `except ImportError`",
        "import json",
        _foreign_imports,
    ),
    Rule(
        "json keywords",
        "dumps takes the object only",
        "ujson.dumps(a, separators=(',', ':'))",
        call("dumps", lambda n: n.keywords or len(n.args) > 1),
    ),
    Rule(
        "json.dump keywords",
        "dump takes object and stream only",
        "ujson.dump(a, f, indent=1)",
        call("dump", lambda n: n.keywords or len(n.args) > 2),
    ),
    Rule(
        "re.sub",
        "ure has match, search, compile, split, group",
        "ure.sub(a, b, c)",
        attribute("sub", "fullmatch", "findall", "finditer", "groups", "groupdict"),
    ),
    Rule(
        "re {m,n}",
        "not in ure",
        "ure.compile('a{2}')",
        node(
            lambda n: (
                _called(n) in ("compile", "match", "search")
                and n.args
                and _constant(n.args[0], str)
                and re.search(r"\{\d", n.args[0].value)
            ),
            ast.Call,
        ),
    ),
    Rule("hexdigest", "absent; ubinascii.hexlify(h.digest())", "h.hexdigest()", attribute("hexdigest")),
    Rule("crc32", "in no library of the firmware", "ubinascii.crc32(a)", attribute("crc32")),
    Rule("random.shuffle", "absent", "urandom.shuffle(a)", attribute("shuffle", "sample", "randbytes")),
    Rule(
        "utime.gmtime",
        "absent; localtime and mktime are off by 8 hours",
        "utime.gmtime()",
        attribute("gmtime", "strftime", "time_ns"),
    ),
    Rule(
        "utime.localtime",
        "8 hours off, and the clock is wrong before the network sets it: compare ticks",
        "utime.localtime()",
        attribute("localtime", "mktime"),
    ),
    Rule(
        "uos of the desktop",
        "absent",
        "uos.path.join(a, b)",
        node(
            lambda n: (
                ast.unparse(n.value) in ("uos", "os")
                and n.attr
                in ("path", "fsync", "sync", "walk", "makedirs", "scandir", "getenv", "environ", "utime", "replace")
            ),
            ast.Attribute,
        ),
    ),
    Rule(
        "native code",
        "the config of the ARM modules carries the Xtensa emitter",
        "@micropython.native\ndef f(): pass",
        attribute("native", "viper", "asm_thumb"),
    ),
    # sockets and locks
    Rule(
        "recv_into", "absent; use recv(n)", "s.recv_into(b)", attribute("recv_into", "recvmsg", "sendmsg", "sendfile")
    ),
    Rule(
        "socket.readinto",
        "loses data at the end of the stream; use recv(n)",
        "sock.readinto(b)",
        _stream_reads,
    ),
    Rule("getpeername", "absent", "s.getpeername()", attribute("getpeername", "getsockname", "getsockopt")),
    Rule(
        "shutdown", "absent", "s.shutdown(1)", attribute("shutdown", "create_connection", "gethostbyname", "connect_ex")
    ),
    Rule(
        "socket.timeout",
        "absent; OSError 110 or 11",
        "usocket.timeout",
        node(
            lambda n: n.attr in ("timeout", "error", "gaierror") and ast.unparse(n.value) in ("usocket", "socket"),
            ast.Attribute,
        ),
    ),
    Rule(
        "with socket",
        "sockets are no context managers",
        "with sock: pass",
        node(lambda n: any("sock" in ast.unparse(item.context_expr).lower() for item in n.items), ast.With),
    ),
    Rule(
        "time-out value",
        "the firmware rounds others wrongly; use 5, 10, 15 or 20 s",
        "s.settimeout(30)",
        call(
            "settimeout",
            lambda n: n.args and isinstance(n.args[0], ast.Constant) and n.args[0].value not in (5, 10, 15, 20),
        ),
    ),
    Rule(
        "lock with time-out",
        "the time-out is ignored: blocks for ever",
        "lock.acquire(True, 5)",
        call("acquire", lambda n: len(n.args) > 1 or n.keywords),
    ),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_device_code_keeps_the_rule(rule):
    found = [f"{source.path}:{line}" for source in code.sources() for line in rule.finds(source)]
    assert not found, f"{rule.name}: {rule.why}\n" + "\n".join(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_fires_on_its_bad_sample(rule):
    assert rule.finds(code.parse(rule.bad))


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import ujson as json\nexcept ImportError:\n    import json",
        "import ustruct\nfrom app.errors import Error",
        "x = b'\\xff\\xfe'",
        "x = r'\\u'",
        "'A docstring may say é.'",
        "with open('x') as f: pass",
        "for x in y[1:3]: pass",
        "type(e).__name__",
        "n = int.from_bytes(b, 'big')",
        "waiting = []\ndel waiting[:2]",
        "try:\n    f()\nexcept OSError:\n    pass",
    ],
)
def test_good_code_passes(text):
    source = code.parse(text)
    assert not [rule.name for rule in RULES if rule.finds(source)]
