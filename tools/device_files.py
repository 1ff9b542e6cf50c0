# The files that a module gets, and as what: shared by flashing, updates, the simulator, the size budget and the gates.
import ast
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
