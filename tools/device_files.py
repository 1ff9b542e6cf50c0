# The files that a module gets, and as what: shared by flashing, updates, the simulator, the size budget and the gates.
import ast
import functools
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# For programs of one's own; Ferry itself never loads it. Left out where the flash is small: it takes seven blocks.
FOR_PROGRAMS = ("app/ftp/__init__.py", "app/ftp/client.py", "app/manual.py")


def device_files(root=ROOT, is_small=False):
    """Paths of Ferry's code, relative to the checkout, sorted. config.json is not code: whoever flashes writes it."""
    found = [root / "main.py", root / "ftp_manager.py", root / "ferry.py", *(root / "app").rglob("*.py")]
    paths = sorted(path.relative_to(root) for path in found if path.is_file())
    return [path for path in paths if not (is_small and path.as_posix() in FOR_PROGRAMS)]


def device_source(path, root=ROOT):
    """What a module gets of a file of device_files(), as it is or compiled: squeezed, and whole numbers in the place of the names
    that the code has for them, as const() of MicroPython does within one file. Lines keep their numbers, for tracebacks."""
    source = (root / path).read_text(encoding="utf-8")
    known, imports = dict(_numbers(source)), {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            other = root / (node.module.replace(".", "/") + ".py")
            found = _numbers(other.read_text(encoding="utf-8")) if other.is_file() else {}
            imports[node.lineno] = [alias for alias in node.names if alias.asname or alias.name not in found]
            known.update({alias.name: found[alias.name] for alias in node.names if alias not in imports[node.lineno]})
    return squeezed(_with_numbers(source, known, imports))


@functools.cache
def _numbers(source):
    """{name: value} of the whole numbers that a module has names for, and never another value."""
    tree = ast.parse(source)
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)]
    stored += [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    return {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and type(node.value.value) is int
        and stored.count(node.targets[0].id) == 1
    }


def _with_numbers(source, known, imports):
    """`imports`: line of a `from x import ...` -> the names that are left of it."""
    lines = source.encode().split(b"\n")

    def put(node, text):
        first, last = node.lineno - 1, node.end_lineno - 1
        rest = lines[last][node.end_col_offset :]
        lines[first] = lines[first][: node.col_offset] + text.encode() + rest
        lines[first + 1 : last + 1] = [b""] * (last - first)

    nodes = [node for node in ast.walk(ast.parse(source)) if hasattr(node, "lineno")]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset), reverse=True):  # from the end: places stay right
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known:
            put(node, str(known[node.id]))
        elif isinstance(node, ast.ImportFrom) and len(imports[node.lineno]) < len(node.names):
            left = ", ".join(ast.unparse(alias) for alias in imports[node.lineno])
            put(node, f"from {node.module} import {left}" if left else "pass" if node.col_offset else "")
        elif isinstance(node, ast.Assign) and node.col_offset == 0 and getattr(node.targets[0], "id", "") in _numbers(source):
            put(node, "")
    return b"\n".join(lines).decode()


def squeezed(source):
    """The same program without comments and docstrings, a space for each indent; every line keeps its number, for tracebacks."""
    lines = source.split("\n")
    inside = set()  # numbers of lines that begin inside a string
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (first, column), (last, _) = token.start, token.end
        if token.type == tokenize.COMMENT:
            lines[first - 1] = lines[first - 1][:column].rstrip()
        elif token.type == tokenize.STRING:
            inside.update(range(first + 1, last + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [""] * (text.end_lineno - text.lineno + 1)
            if len(node.body) == 1:
                lines[text.lineno - 1] = " " * text.col_offset + "pass"
    for number, line in enumerate(lines, 1):
        if number not in inside:
            bare = line.lstrip()
            lines[number - 1] = " " * ((len(line) - len(bare)) // 4) + bare
    return "\n".join(lines).rstrip("\n") + "\n"
