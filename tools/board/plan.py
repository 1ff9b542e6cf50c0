# What flashing has to do: from what is on the module to what is to be there. Pure.
#
# Every new file is staged in /usr/.ferry first; then one journal moves them all, by app/apply.py on the module, as an update does.
# The names end in .part: what a cut left there is taken up by the next flash, or cleared away by Ferry behind its next update.
import hashlib
from dataclasses import dataclass, field

from tools.publish.contents import Content

MAIN = "/usr/main.py"
APPLY = ("/usr/app/apply.py", "/usr/app/apply.mpy")
STATE = "/usr/.ferry"
JOURNAL = f"{STATE}/flash-journal.part"
RESERVE_BLOCKS = 4  # for folders that littlefs moves
_FOLDER_BLOCKS = 2
_OWN_NAMES = ("main", "ftp_manager", "ferry")
# In /usr, the firmware's own; --erase all leaves them, and the settings.
FIRMWARE_FILES = tuple(
    f"/usr/{name}"
    for name in (
        "system_config.json",
        "user_apn.json",
        "apn_cfg.json",
        "datacall_config.json",
        "checksum.json",
        ".updater",
    )
)


@dataclass(frozen=True)
class Found:
    """What lies on the module."""

    files: dict = field(default_factory=dict)  # path: (size, sha256); code and settings
    staged: dict = field(default_factory=dict)  # path: (size, sha256)
    folders: tuple = ()
    names: tuple = ()  # of the files in /usr
    is_ferry_boot: bool = False  # main.py finishes a set that was cut
    backups: tuple = ()  # of a set on trial
    has_journal: bool = False
    free_blocks: int = 0
    block_bytes: int = 4096

    @property
    def is_ferry(self):
        return self.is_ferry_boot or any(path in self.files for path in APPLY)

    def without(self, gone):
        """After the removal of files."""
        freed = sum(self.blocks(self.files[path][0]) for path in gone if path in self.files)
        files = {path: kept for path, kept in self.files.items() if path not in gone}
        return Found(
            files, self.staged, self.folders, self.names, False, (), False, self.free_blocks + freed, self.block_bytes
        )

    def blocks(self, size):
        """Of littlefs for a file: all but the first lose a little to their links."""
        return 0 if not size else 1 + max(0, -(-(size - self.block_bytes) // (self.block_bytes - 8)))


@dataclass(frozen=True)
class Plan:
    copies: list  # [Content], in this order
    changed: dict  # path: "new" or "changed"
    gone: list  # paths that go: versions that would be loaded in place of the new ones, and what Ferry no longer has
    kept_main: str  # where a main.py that is not Ferry's is kept, or ""
    first: Content | None  # app/apply where there is none: put in place before the journal
    moves: list
    backups: tuple
    need_blocks: int
    free_blocks: int

    @property
    def is_empty(self):
        return not (self.changed or self.gone)

    @property
    def copy_bytes(self):
        return sum(content.size for content in self.copies)

    @property
    def has_room(self):
        return self.need_blocks <= self.free_blocks

    def journal(self):
        return {
            "version": 0,
            "what": "flash",
            "moves": self.moves + [["", backup, ""] for backup in self.backups],
            "ends_trial": True,
        }


def staged_path(content):
    """Tells path and version, so that what a cut left is not copied again."""
    return f"{STATE}/flash-{hashlib.sha256(f'{content.path} {content.sha256}'.encode()).hexdigest()[:12]}.part"


def make(contents, found):
    """-> Plan"""
    changed = [content for content in contents if found.files.get(content.path) != (content.size, content.sha256)]
    gone = stale(contents, found)
    kept_main = ""
    if MAIN in found.files and not found.is_ferry_boot and any(content.path == MAIN for content in changed):
        kept_main = _free_name(found.names)
    first = None
    if not any(path in found.files for path in APPLY):
        first = next((content for content in changed if content.path in APPLY), None)
    copies = [content for content in changed if found.staged.get(staged_path(content)) != (content.size, content.sha256)]
    return Plan(
        copies,
        {content.path: "changed" if content.path in found.files else "new" for content in changed},
        gone,
        kept_main,
        first,
        _moves(changed, gone, kept_main),
        found.backups,
        _need_blocks(copies, changed, kept_main, found),
        found.free_blocks + _useless_blocks(changed, found),
    )


def _moves(changed, gone, kept_main):
    """main.py is the first: from then on every boot finishes the rest, also where it was another program's."""
    ordered = sorted(changed, key=lambda content: content.path != MAIN)
    moves = [[staged_path(content), content.path, kept_main if content.path == MAIN else ""] for content in ordered]
    return moves + [["", path, ""] for path in gone]


def stale(contents, found):
    """Files that go. A .py is loaded in place of the .mpy beside it. What else lies in app/ is Ferry's, where Ferry is."""
    wanted = {content.path for content in contents}
    twins = {path.rpartition(".")[0] for path in wanted if path.endswith((".py", ".mpy"))}
    return [
        path
        for path in sorted(found.files)
        if path not in wanted and _is_code(path) and (path.rpartition(".")[0] in twins or (_is_own(path) and found.is_ferry))
    ]


def own_code(found):
    """Ferry's code on the module, main.py first: without it a cut leaves a quiet REPL."""
    paths = [path for path in found.files if _is_code(path) and _is_own(path)]
    return sorted(paths, key=lambda path: (path != MAIN, path))


def _is_code(path):
    return path.endswith((".py", ".mpy"))


def _is_own(path):
    return path.startswith("/usr/app/") or path.removeprefix("/usr/").rpartition(".")[0] in _OWN_NAMES


def _free_name(names):
    number = 1
    while (name := f"main.py.old{number if number > 1 else ''}") in names:
        number += 1
    return f"/usr/{name}"


def _useless_blocks(changed, found):
    """Of what another version left staged: it goes before anything is copied."""
    wanted = {staged_path(content) for content in changed}
    return sum(found.blocks(size) for path, (size, _) in found.staged.items() if path not in wanted)


def _need_blocks(copies, changed, kept_main, found):
    folders = set(found.folders)
    wanted = {STATE}
    for content in changed:
        parts = content.path.split("/")
        wanted.update("/".join(parts[:count]) for count in range(3, len(parts)))
    need = sum(found.blocks(content.size) for content in copies) + _FOLDER_BLOCKS * len(wanted - folders)
    need += 2 * found.blocks(150 * len(changed))  # the journal, as copied and as written
    if kept_main:
        need += found.blocks(found.files[MAIN][0])
    return need + RESERVE_BLOCKS
