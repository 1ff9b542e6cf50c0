# Times, computed from counts: real waiting on NB-IoT would take hours and tell nothing else. What TCP adds on a far link (slow
# start, small windows, headers) and what a client computes is not in them; it is much the same for everybody.
from tools.sim.links import LINKS

_LAN = {"rtt_ms": (1, 1), "up_kbit_s": 100_000, "down_kbit_s": 100_000}
NAMES = {"lan": "LAN", "cat1": "Cat-1", "ltem": "LTE-M", "nbiot": "NB-IoT"}
_ROWS = {**LINKS, "lan": _LAN}


def rtt_s(link):
    """The median of the simulator's draws."""
    least, most = _ROWS[link]["rtt_ms"]
    return (least + (most - least) / 4) / 1000


def up_bytes_s(link):
    return _ROWS[link]["up_kbit_s"] * 1000 // 8


def seconds(link, turns, up_bytes, down_bytes):
    down_bytes_s = _ROWS[link]["down_kbit_s"] * 1000 / 8
    return turns * rtt_s(link) + up_bytes / up_bytes_s(link) + down_bytes / down_bytes_s


def told():
    """The four links in a sentence."""
    return "; ".join(
        f"{name} {rtt_s(link) * 1000:,.0f} ms, {_ROWS[link]['up_kbit_s']:,} kbit/s up, {_ROWS[link]['down_kbit_s']:,} down"
        for link, name in NAMES.items()
    )
