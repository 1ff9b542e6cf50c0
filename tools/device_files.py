# The files that a module gets: the one list that flashing, the simulator, the size budget and the gates share.
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def device_files(root=ROOT):
    """Paths of Ferry's code, relative to the checkout, sorted. config.json is not code: whoever flashes writes it."""
    found = [root / "main.py", root / "ftp_manager.py", *(root / "app").rglob("*.py")]
    return sorted(path.relative_to(root) for path in found if path.is_file())
