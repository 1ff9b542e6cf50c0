# The half of boot.py for a simulated flash: /usr as a real file system on it, what it cost, and its end.
import vfs
from nor import Nor, PowerCut, file_system  # noqa: F401 - PowerCut is for boot.py


class Usr:
    """/usr for one boot; `flash` is that of WORLD.json. The image is opened while the host's files can still be seen."""

    def __init__(self, flash: dict, seed: int) -> None:
        self._fs = flash["fs"]
        self._nor = Nor(flash["image"], self._fs, flash["cut_at"], flash["torn"], seed)
        self._told = (0, 0, 0)

    def mount(self) -> None:
        vfs.mount(file_system(self._nor, self._fs), "/usr")

    def counts(self) -> dict:
        """What was done to the flash since the last call."""
        now = (self._nor.erases, self._nor.programs, self._nor.reads)
        old, self._told = self._told, now
        return {"erases": now[0] - old[0], "programs": now[1] - old[1], "reads": now[2] - old[2]}

    def wear(self) -> list:
        """Of each block, how often it was erased in this boot (of FAT: of each sector, how often it was written)."""
        return list(self._nor.wear)

    def cut(self) -> None:
        """Without power: nothing changes on the flash any more."""
        self._nor.is_off = True

    def switch_off(self, close_files: object) -> None:
        """Leaves no open file for the garbage collector, which cannot call a device written in Python."""
        if self._nor.is_off:
            self._nor.is_forgotten = True
        close_files()
        vfs.umount("/usr")
        self._nor.close()
