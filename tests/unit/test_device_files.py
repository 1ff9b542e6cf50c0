"""What a module gets of a source file: less bytes, the same program, on the same lines."""

import ast
import subprocess
import sys

import pytest

from tools.device_files import ROOT, device_files, device_source, squeezed


@pytest.fixture
def source_of(tmp_path):
    """source_of(text of one.py, text of two.py) -> what a module gets of one.py"""

    def make(one, two=""):
        (tmp_path / "one.py").write_text(one, encoding="utf-8")
        (tmp_path / "two.py").write_text(two, encoding="utf-8")
        return device_source(tmp_path.joinpath("one.py").relative_to(tmp_path), tmp_path)

    return make


def test_own_and_imported_numbers_take_the_place_of_their_names(source_of):
    text = source_of(
        "from two import (\n    FAR,\n    Thing,\n)\nNEAR = 7\nTEXT = 'ä'\nLONG = 'a text of its own'\n"
        "\ndef f(x=NEAR):\n    return TEXT, LONG, x + FAR - NEAR, Thing\n",
        "FAR = 1000\nclass Thing: pass\n",
    )
    assert text == "from two import Thing\n\n\n\n\nTEXT='ä'\nLONG='a text of its own'\n\ndef f(x=7):\n return TEXT,LONG,x+1000-7,Thing\n"


def test_a_name_with_more_than_one_value_stays(source_of):
    text = "N = 1\nM = 2\nK = True\n\ndef f(N):\n    global M\n    M = 3\n    return N, K\n"
    assert ast.dump(ast.parse(source_of(text))) == ast.dump(ast.parse(text))


def test_an_import_inside_of_a_function_may_be_all_there_is_of_it(source_of):
    assert source_of("def f():\n    from two import FAR\n", "FAR = 1\n") == "def f():\n pass\n"


def test_blanks_comments_and_docstrings_are_left_out_and_strings_stay(source_of):
    text = """A = 'one and no other one'  # and a comment
B = '''two  # lines
  here'''

def f(x, *, y = 1):
    'Doc.'
    if not x in (y, 'a b'):
        return -1
    return f(
        x, y=[2, 3]
    )
"""
    assert source_of(text) == """A='one and no other one'
B='''two  # lines
  here'''

def f(x,*,y=1):

 if not x in(y,'a b'):
  return-1
 return f(
x,y=[2,3]
)
"""


def program(source):
    """What the compiler makes of it: (kind, line) of each node, and the tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            node.body[:1] = [] if len(node.body) > 1 or isinstance(node, ast.Module) else [ast.Pass(lineno=node.body[0].lineno)]
    lines = [(type(node).__name__, node.lineno) for node in ast.walk(tree) if hasattr(node, "lineno")]
    return ast.dump(tree), lines


def test_squeezed_code_is_the_same_program_on_the_same_lines():
    for path in device_files():
        source = (ROOT / path).read_text(encoding="utf-8")
        assert program(squeezed(source)) == program(source), path


def test_no_name_is_left_without_a_value(tmp_path):
    for path in device_files():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(device_source(path), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821,F822,F811", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_number_that_is_left_out_is_asked_for_as_an_attribute():
    asked = set()
    for path in [*device_files(), "tools/board/on_module.py", "tools/soak/on_module.py"]:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        asked.update(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    for path in device_files():
        whole = names_of((ROOT / path).read_text(encoding="utf-8"))
        assert not (whole - names_of(device_source(path))) & asked, path


def names_of(source):
    targets = [node.targets[0] for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
