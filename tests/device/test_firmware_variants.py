# What differs between the firmware of 2021 and that of 2026, shim by shim; and a whole cycle of the app under each of them.
import pytest

from tests.device.ferry import DEVICE
from tools.sim import faults
from tools.sim.firmware import FIRMWARE

ONE_BY_ONE = [{name: value} for variants in FIRMWARE.values() for name, value in variants.items()]


def sync(ferry, ftpd, **world):
    files = {"a.bin": bytes(range(256)) * 100, "empty.txt": b"", "c.txt": b"c\r\n"}
    for name, content in files.items():
        ferry.put(name, content)
        ftpd.put("updates/sub/" + name, content)
    boot = ferry.sync(**world)
    assert ftpd.files(DEVICE) == files
    for name, content in files.items():
        assert ferry.files()["sub/" + name] == content
    return boot


@pytest.mark.parametrize(
    "variants", [*ONE_BY_ONE, *FIRMWARE.values()], ids=lambda variants: "-".join(map(str, next(iter(variants.items()))))
)
def test_a_whole_cycle_passes_under_each_variant(ferry, ftpd, variants):
    sync(ferry, ftpd, variants=variants)


@pytest.mark.parametrize("year", FIRMWARE)
def test_a_whole_cycle_passes_in_active_mode(ferry, ftpd, year):
    ferry.configure(server={"mode": "active", "active_host": "127.0.0.1"})
    boot = sync(ferry, ftpd, variants=FIRMWARE[year])
    assert boot.cycles[0]["up_count"] == boot.cycles[0]["down_count"] == 3
    assert len(ftpd.arguments("EPRT") + ftpd.arguments("PORT")) >= 7  # and the listing
    assert ftpd.arguments("EPSV") == ftpd.arguments("PASV") == []


@pytest.mark.parametrize("year", FIRMWARE)
@pytest.mark.parametrize("spec", ["watchdog-fails", "clock-unset", "battery@3300mV", "signal@5"])
def test_a_whole_cycle_passes_without_what_it_can_do_without(ferry, ftpd, year, spec):
    sync(ferry, ftpd, variants=FIRMWARE[year], faults=faults.parse(spec))


def test_both_firmwares_set_the_same_variants_and_these_are_all_there_are(module):
    values = module.run("import _world\nshow('names', sorted(_world.variants))").values
    for variants in FIRMWARE.values():
        assert values["names"] == str(sorted(variants))


@pytest.mark.parametrize(
    ("value", "there"), [("start", "['start']"), ("activate", "['start', 'activate', 'deactivate']")]
)
def test_the_data_call_of_2021_can_only_be_started(module, value, there):
    values = module.run(
        """
        import dataCall, net
        show("names", [name for name in ("start", "activate", "deactivate") if hasattr(dataCall, name)])
        net.setModemFun(4)
        show("in flight", dataCall.start(1, 0, "", "", "", 0))
        net.setModemFun(1)
        show("start", dataCall.start(1, 0, "", "", "", 0))
        show("up", dataCall.getInfo(1, 0)[2][0])
        """,
        variants={"data_call": value},
    ).values
    assert values == {"names": there, "in flight": "-1", "start": "0", "up": "1"}


@pytest.mark.parametrize(("value", "event"), [(2, "(1, 0)"), (3, "(1, 0, 0)")])
def test_the_callback_of_the_data_call_gets_two_or_three_items(module, value, event):
    values = module.run(
        """
        import dataCall, net, utime
        seen = []
        dataCall.setCallback(seen.append)
        net.setModemFun(4)
        for _ in range(200):
            if seen:
                break
            utime.sleep_ms(5)
        show("event", seen[0])
        """,
        variants={"data_callback": value},
    ).values
    assert values == {"event": event}


@pytest.mark.parametrize(("value", "answer"), [("plain", "TypeError"), ("zone", "(0, 2)")])
def test_ntp_of_2021_takes_no_time_zone(module, value, answer):
    values = module.run(
        """
        import ntptime, utime
        show("plain", (ntptime.settime(), utime.time() > 1700000000))
        try:
            show("zone", (ntptime.settime(2), utime.getTimeZone()))
        except TypeError:
            show("zone", "TypeError")
        """,
        variants={"ntp": value},
        epoch_s=0,
    ).values
    assert values == {"plain": "(0, True)", "zone": answer}


def test_ntp_fails_without_an_answer(module):
    script = "import ntptime\nshow('ntp', ntptime.settime())"
    for spec in ("dns-fail", "silence", "no-data-call"):
        assert module.run(script, faults=faults.parse(spec)).values == {"ntp": "-1"}


@pytest.mark.parametrize("state", range(-1, 12))
def test_every_state_of_the_registration_is_shown_and_only_two_are_registered(module, state):
    values = module.run(
        """
        import checkNet, net
        show("state", net.getState() if net.getState() == -1 else [len(part) for part in net.getState()] + [net.getState()[1][0]])
        show("wait", checkNet.waitNetworkReady(1))
        show("registered", net.csqQueryPoll() != 99)
        """,
        net_state=state,
    ).values
    is_registered = state in (1, 5)
    assert values == {
        "state": "-1" if state < 0 else f"[6, 6, {state}]",
        "wait": "(3, 1)" if is_registered else f"(2, {state})",
        "registered": str(is_registered),
    }


@pytest.mark.parametrize("reason", range(10))
def test_why_it_was_switched_on(module, reason):
    values = module.run("from misc import Power\nshow('on', Power.powerOnReason())", power_on_reason=reason).values
    assert values == {"on": str(reason)}


def test_wake_locks_and_the_watchdog_are_told_as_events(module):
    result = module.run(
        """
        import machine, pm, utime
        lock = pm.create_wakelock("ferry", 5)
        pm.wakelock_lock(lock)
        dog = machine.WDT(60)
        utime.sleep(50)
        dog.feed()
        utime.sleep(55)
        dog.feed()
        pm.wakelock_unlock(lock)
        import _world
        show("feeds", (_world.take_feeds()[0], _world.take_feeds()))
        dog.stop()
        utime.sleep(600)
        machine.WDT(60)
        utime.sleep(600)
        """
    )
    assert [(event["kind"], event["data"]) for event in result.events[:-1]] == [
        ("wake", ["ferry", "held"]),
        ("watchdog_armed", [60]),
        ("wake", ["ferry", "released"]),
        ("watchdog_stopped", []),
        ("watchdog_armed", [60]),
    ]
    assert (result.status, result.events[-1]["kind"], result.events[-1]["ms"] // 1000) == (75, "watchdog", 765)
    assert result.values == {"feeds": "(2, [0, 0])"}
