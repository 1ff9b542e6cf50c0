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
    """What a module gets of a file of device_files(), as it is or compiled: squeezed, and whole numbers in the place of the
    names that the code has for them, as const() of MicroPython does within one file. Lines keep their numbers, for tracebacks."""
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
    """The same program without comments, docstrings and blanks that nobody needs; every line keeps its number, for tracebacks."""
    docstrings = {}  # (line, column) -> what stands for it
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            text = node.body[0]
            is_all = len(node.body) == 1 and not isinstance(node, ast.Module)
            docstrings[text.lineno, text.col_offset] = "pass" if is_all else ""
    lines = [""] * (source.count("\n") + 2)
    depth, line, last = 0, 0, ""  # `line`: where the last token ended
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            depth += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            last = ""
        elif token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER):
            text = docstrings.get(token.start, token.string) if token.type == tokenize.STRING else token.string
            if not last and text:
                lines[token.start[0]] = " " * depth
            elif token.start[0] == line and _is_word(last[-1:]) and (_is_word(text[:1]) or text[:1] in "\"'"):
                text = " " + text
            lines[token.start[0]] += text
            line = token.end[0]
            last = text or last
            if "\n" in text:  # of a string of several lines
                lines[token.start[0] + 1 : line + 1] = [None] * (line - token.start[0])
    return "\n".join(text for text in lines[1:] if text is not None).rstrip("\n") + "\n"


def _is_word(text):
    return text == "_" or text.isalnum()
