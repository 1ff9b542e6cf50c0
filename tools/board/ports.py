# Which serial port is a module's REPL: by USB id and by the names that the vendor's drivers give it. Opens it.
import errno
import os
from dataclasses import dataclass

import serial
from serial.tools import list_ports

from tools.board.errors import BoardError

BAUD = 115_200  # USB does not care
_WRITE_S = 10
_QUECTEL = 0x2C7C

# The REPL among the USB interfaces of one module, by product id, as the vendor's own tools have it.
_INTERFACES = {
    0x0901: (8,),  # EC200U, EC600U, EG915U
    0x6001: (5,),  # EC600N, EC800N
    0x6002: (5, 20),  # EC600M, EC800M, EG810M; 20 with newer drivers
    0x6005: (5,),  # EC600S
    0x0903: (5,),  # EC600E, EC800E
    0x0700: (1,),  # BG95
}
# Names in the device manager, the surest first. The last two are the REPL of some models and something else of others.
_SURE_NAMES = ("USB REPL Port", "USB MI05")
_DOUBTFUL_NAMES = ("USB Serial-1", "USB NMEA Port")


@dataclass(frozen=True)
class Port:
    device: str
    text: str  # as the system describes it
    usb: str  # "2c7c:6002", or ""
    is_sure: bool
    is_quectel: bool

    def __str__(self):
        return "  ".join(part for part in (self.device, self.text, self.usb) if part)


def describe(info):
    """-> Port of one entry of pyserial's list."""
    names = f"{info.description or ''} {getattr(info, 'interface', None) or ''}"
    is_quectel = info.vid == _QUECTEL or "quectel" in names.lower()
    is_sure = any(name in names for name in _SURE_NAMES) or (
        info.vid == _QUECTEL and _interface(info.location) in _INTERFACES.get(info.pid, ())
    )
    usb = f"{info.vid:04x}:{info.pid:04x}" if info.vid is not None else ""
    text = info.description if info.description not in (None, "n/a") else ""
    return Port(info.device, text, usb, is_sure, is_quectel or any(name in names for name in _DOUBTFUL_NAMES))


def _interface(location):
    """Number of the USB interface: 5 of "1-2:1.5", and of "1-2:x.5" on Windows. None where the system does not tell."""
    tail = (location or "").rpartition(".")[2]
    return int(tail) if ":" in (location or "") and tail.isdigit() else None


def all_ports():
    return [describe(info) for info in sorted(list_ports.comports(), key=lambda info: info.device)]


def find(named=None):
    """The device name of the one REPL port. Raises BoardError with the list when it is not clear which."""
    if named:
        return named
    ports = all_ports()
    sure = [port for port in ports if port.is_sure]
    if len(sure) == 1:
        return sure[0].device
    if sure:
        raise BoardError(f"{len(sure)} modules are there; name the port of one:\n{_listed(sure)}")
    doubtful = [port for port in ports if port.is_quectel]
    if doubtful:
        raise BoardError(
            "no port says that it is the REPL. One of these may be; the right one answers Enter with >>> "
            f"(python -m tools repl PORT):\n{_listed(doubtful)}"
        )
    others = f"\nOther serial ports, should it be one of them:\n{_listed(ports)}" if ports else ""
    raise BoardError(
        "no module is there. Is it powered and switched on (PWRKEY), the cable one for data, the vendor's USB driver "
        f"installed, and QuecPython firmware on it? Else name the port.{others}"
    )


def _listed(ports):
    return "\n".join(f"  {port}" for port in ports)


def open_port(device):
    """An open serial port that nobody else has. Raises BoardError."""
    try:
        port = serial.serial_for_url(device, BAUD, do_not_open=True, timeout=0, write_timeout=_WRITE_S)
        if "://" not in device:
            port.exclusive = True if os.name == "posix" else None
        port.open()
        return port
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise BoardError(f"{device}: {_why_not(error)}") from error


def _why_not(error):
    number, text = getattr(error, "errno", None), str(error)
    if number == errno.ENOENT or "FileNotFoundError" in text:
        listed = _listed(all_ports())
        return "there is no such port; " + (f"there are:\n{listed}" if listed else "no serial port is there at all")
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text or "PermissionError" in text:
        return "another program has this port: close QPYcom, the terminal, or the other run of this command"
    if number == errno.EACCES:
        return "no permission: on Linux, become a member of the group that owns it (dialout, uucp), and log in again"
    return f"cannot be opened as a serial port: {text}"
