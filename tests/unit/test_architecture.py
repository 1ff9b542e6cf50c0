# The rules that keep the device's code simple, checked over its syntax trees (docs/DESIGN.md, section 2).
import ast

import pytest

from tests.unit import device_code as code

# Pure code that lives beside the stages and the client: what it needs comes in as arguments, and all may use it.
PURE_MODULES = {
    "app.sync.rules",
    "app.sync.records",
    "app.sync.ledger",
    "app.sync.names",
    "app.sync.item",
    "app.sync.folders",
    "app.sync.tar",
    "app.sync.manifest",
    "app.sync.staging",
    "app.proto.parse",
    "app.proto.reply",
}

# A door is for people and other apps, who use it alone: it may make the real ports when it gets none.
ERRORS, PURE, MIDDLE, DOOR, MANAGER, START, MAIN = range(7)


def layer(module):
    """The rank of one of our modules; an import goes to a lower rank, or stays inside its own folder."""
    if module in ("main", "ferry"):
        return MAIN
    if module in ("app.start", "app.console", "app.check", "app.look", "app.keys"):
        return START
    if module == "ftp_manager":
        return MANAGER
    if module in ("app.manual", "app.ftp", "app.ftp.client"):
        return DOOR
    if module in ("app", "app.errors"):
        return ERRORS
    if module.startswith(("app.proto", "app.sync", "app.platform")) and module not in PURE_MODULES:
        return MIDDLE
    return PURE


def is_own(module):
    return module.split(".")[0] in ("app", "ftp_manager", "main", "ferry")


def may_import(importer, imported):
    if layer(imported) != layer(importer):
        return layer(imported) < layer(importer)
    if layer(importer) != MIDDLE:
        return True
    folder = importer.split(".")[1]
    return folder != "sync" and folder == imported.split(".")[1]


def wrong_ways(source):
    return [
        f"{source.path}:{line} imports {name}"
        for line, name in code.imports(source)
        if is_own(name) and name != source.module and not may_import(source.module, name)
    ]


def firmware_names(source):
    # main.py and apply.py run when there may be nothing else of Ferry that works
    if source.path.parts[:2] == ("app", "platform") or source.module in ("main", "app.apply"):
        return []
    return [
        f"{source.path}:{line} names {name}"
        for line, name in code.imports(source)
        if name.split(".")[0] in code.FIRMWARE
    ]


# What main.py may do at its top: it is run, not imported; and ferry.py, where main.py did not run. ftp_manager.py has to look
# after the heap that it is compiled into.
ALLOWED_CALLS = {
    "main": {"usys.path.append", "gc.threshold"},
    "ferry": {"usys.path.append", "gc.threshold"},
    "ftp_manager": {"gc.threshold"},
}


def import_time_calls(source):
    """Calls that run while importing. Allowed are const(), namedtuple() and what it makes, and hasattr() as the probe
    for what this firmware has; ALLOWED_CALLS has the rest."""
    allowed = {"const", "namedtuple", "hasattr"}
    calls = []

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            at_import = [*node.args.defaults, *[default for default in node.args.kw_defaults if default is not None]]
            for part in at_import + getattr(node, "decorator_list", []):
                visit(part)
            return
        if isinstance(node, ast.If) and source.module == "main" and ast.unparse(node.test) == "__name__ == '__main__'":
            return
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.value.func) == "namedtuple":
            allowed.update(target.id for target in node.targets if isinstance(target, ast.Name))
        known = ALLOWED_CALLS.get(source.module, ())
        is_known = isinstance(node, ast.Call) and ast.unparse(node.func) in known
        if isinstance(node, ast.Call) and _name(node.func) not in allowed and not is_known:
            calls.append(f"{source.path}:{node.lineno} calls {ast.unparse(node.func)}() while importing")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(source.tree)
    return calls


def _name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


MUTATORS = {
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "clear",
    "update",
    "setdefault",
    "add",
    "discard",
    "sort",
    "popleft",
    "appendleft",
    "popitem",
    "reverse",
}


def changed_globals(source):
    """Functions that change what belongs to the module."""
    names = {
        target.id
        for node in source.tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found = []
    for function in source.nodes:
        if not isinstance(function, (ast.FunctionDef, ast.Lambda)):
            continue
        local = {
            node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        local |= {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
        shared = names - local
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                found.append(f"{source.path}:{node.lineno} global {', '.join(node.names)}")
            changed = None
            if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
                changed = node.func.value
            if isinstance(changed, ast.Name) and changed.id in shared:
                found.append(f"{source.path}:{node.lineno} changes {changed.id}, which belongs to the module")
    return found


def cycles():
    """Import circles among our modules."""
    edges = {
        source.module: {name for _, name in code.imports(source) if is_own(name)} - {source.module}
        for source in code.sources()
    }
    found, done = [], set()

    def walk(module, path):
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for below in sorted(edges.get(module, ())):
                walk(below, [*path, module])
            done.add(module)

    for module in sorted(edges):
        walk(module, [])
    return found


CHECKS = {
    wrong_ways: "imports go one way: errors, pure code, client / stages / platform, ftp_manager, main",
    firmware_names: "only app/platform names the firmware's modules",
    import_time_calls: "importing does no work",
    changed_globals: "no module-level state that changes",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_device_code_keeps_the_rule(check):
    found = [line for source in code.sources() for line in check(source)]
    assert not found, CHECKS[check] + "\n" + "\n".join(found)


def test_imports_have_no_circles():
    assert not cycles()


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (wrong_ways, "app/errors.py", "import app.config"),
        (wrong_ways, "app/pace.py", "from app.proto.session import Session"),
        (wrong_ways, "app/sync/folders.py", "from app.sync.upload import Upload"),
        (wrong_ways, "app/sync/upload.py", "from app.proto.session import Session"),
        (wrong_ways, "app/sync/folders.py", "def f():\n    import app.platform.files"),
        (wrong_ways, "app/sync/rules.py", "import app.sync.outbox"),
        (wrong_ways, "app/ftp/client.py", "import ftp_manager"),
        (wrong_ways, "ftp_manager.py", "import main"),
        (firmware_names, "app/ftp/client.py", "import usocket"),
        (firmware_names, "ftp_manager.py", "def f():\n    from misc import Power"),
        (import_time_calls, "app/config.py", "X = open('x')"),
        (import_time_calls, "app/config.py", "def f(x=list()): pass"),
        (import_time_calls, "app/config.py", "class A:\n    b = bytearray(9)"),
        (import_time_calls, "app/config.py", "if __name__ == '__main__':\n    run()"),
        (changed_globals, "app/log.py", "x = 0\ndef f():\n    global x\n    x = 1"),
        (changed_globals, "app/log.py", "x = []\ndef f():\n    x.append(1)"),
        (changed_globals, "app/log.py", "x = {}\ndef f():\n    x['a'] = 1"),
        (changed_globals, "app/log.py", "x = {}\ndef f():\n    del x['a']"),
    ],
)
def test_rule_fires(check, path, text):
    assert check(code.parse(text, path))


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (wrong_ways, "app/proto/session.py", "from app.proto.reply import ReplyReader\nfrom app.errors import Error"),
        (wrong_ways, "app/sync/folders.py", "from app.sync import rules"),
        (wrong_ways, "main.py", "import ftp_manager"),
        (firmware_names, "app/platform/files.py", "import uos"),
        (firmware_names, "app/config.py", "import ujson"),
        (import_time_calls, "app/config.py", "Row = namedtuple('Row', 'a b')\nX = (Row(1, 2),)\nY = const(3)"),
        (import_time_calls, "main.py", "if __name__ == '__main__':\n    run()"),
        (changed_globals, "app/log.py", "x = []\ndef f(x):\n    x.append(1)"),
    ],
)
def test_rule_lets_through(check, path, text):
    assert not check(code.parse(text, path))
