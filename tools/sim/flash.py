# The simulated flash as the parent sees it: an image beside the --usr folder, filled from that folder before the module is
# switched on and brought back to it afterwards. MicroPython reads and writes it (image.py): a PC has no littlefs.
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.sim.settings import SettingsError

FILE_SYSTEMS = ("lfs1", "lfs2", "fat")
BLOCK_BYTES = 4096
SMALLEST_BYTES = 32 * BLOCK_BYTES
ROOMY_BYTES = 2 * 1024**2  # from here on Ferry fits as it is, with all samples
_IMAGE_TOOL = Path(__file__).with_name("image.py")
_TOOL_HEAP = "8M"
_FULL_STATUS = 28


@dataclass(frozen=True)
class Cut:
    """Where the power goes: at this program or erase, the first of a boot is 1; 0 is never."""

    at: int = 0
    torn: bool = False


@dataclass(frozen=True)
class Flash:
    interpreter: str  # path of a MicroPython
    image: Path
    fs: str
    size_bytes: int
    cuts: tuple = ()  # a Cut for each of the first boots

    def fill(self, usr):
        """As flashing would: afterwards the image holds what the folder holds."""
        if self._move("fill", usr) == _FULL_STATUS:
            raise SettingsError(f"what {usr} holds does not fit into a flash of {self.size_bytes // 1024}k; name more")

    def dump(self, usr):
        """Bring the folder in line with the image."""
        self._move("dump", usr)

    def world(self, boot):
        """What boot.py has to know in boot number `boot`, from 0."""
        cut = self.cuts[boot] if boot < len(self.cuts) else Cut()
        return {"image": str(self.image), "fs": self.fs, "cut_at": cut.at, "torn": cut.torn}

    def _move(self, what, usr):
        tool = [self.interpreter, "-X", f"heapsize={_TOOL_HEAP}", str(_IMAGE_TOOL)]
        done = subprocess.run(
            [*tool, what, str(Path(usr).resolve()), str(self.image), self.fs, str(self.size_bytes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode not in (0, _FULL_STATUS):
            raise RuntimeError(f"{what} of {self.image} failed:\n{done.stdout.decode('utf-8', 'replace')}")
        return done.returncode
