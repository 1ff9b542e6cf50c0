# Random faults for a soak, in the language of `tools sim --fault`.
from tools.sim import faults

CYCLES_PER_FAULT = 8
_USUAL_CYCLE_S = 12  # from the begin of one to the begin of the next

# (how often, spec): n is the cycle in which it begins, m one or two later, t a moment of virtual time in about that cycle.
_KINDS = (
    (6, "cut-data@{percent}%@cycle{n}"),
    (6, "cut-control@{command}@cycle{n}"),
    (4, "ip-change@{t}-{later}s"),
    (3, "dns-fail@cycle{n}-{m}"),
    (3, "server-down@cycle{n}-{m}"),
    (3, "server-silent@cycle{n}"),
    (3, "silence@cycle{n}-{m}"),
    (2, "port-blocked@cycle{n}-{m}"),
    (2, "data-blocked@cycle{n}-{m}"),
    (2, "searching@cycle{n}-{m}"),
    (2, "flash-full@cycle{n}-{m}"),
    (2, "clock-unset@cycle{n}-{m}"),
    (2, "clock-wrong@-3y@cycle{n}-{m}"),
    (2, "hang@60s@cycle{n}"),
    (1, "no-data-call@cycle{n}-redial"),
    (1, "sim-missing@cycle{n}-flight"),
    (1, "attach-denied@cycle{n}-flight"),
)
# These restart the module; one of them, at the end of a stretch.
_ENDS = (
    (6, "power-cut@{t}-{later}s"),
    (2, "hang@400s@cycle{n}"),
    (1, "no-data-call@cycle{n}-restart"),
    (1, "silence@cycle{n}-restart"),
)


def stretch(noise, done, now_ms, cycles):
    """Faults for the next boot: at random in its first cycles, and a restart behind so many."""
    chosen = [_spec(noise, _KINDS, done, now_ms, noise.randint(2, cycles)) for _ in range(cycles // CYCLES_PER_FAULT)]
    return [fault for spec in [*chosen, _spec(noise, _ENDS, done, now_ms, cycles)] for fault in faults.parse(spec)]


def _spec(noise, kinds, done, now_ms, ahead):
    text = noise.choices([spec for _, spec in kinds], [weight for weight, _ in kinds])[0]
    moment = now_ms / 1000 + ahead * _USUAL_CYCLE_S + noise.uniform(0, _USUAL_CYCLE_S)
    return text.format(
        n=done + ahead,
        m=done + ahead + noise.randint(0, 1),
        t=f"{moment:.1f}",
        later=f"{moment + noise.uniform(1, 60):.1f}",
        percent=noise.randint(0, 99),
        command=noise.randint(1, 20),
    )
