# The links of `tools sim --link`, as numbers; tools/qpycom_stubs/_link.py says what is made of them.
# Round trip from idle, in ms, least and most; what the radio carries up and down in practice, in kbit/s.
LINKS = {
    "lan": None,  # as fast as the host's loopback
    "cat1": {"rtt_ms": (50, 150), "up_kbit_s": 2000, "down_kbit_s": 4000},
    "ltem": {"rtt_ms": (100, 300), "up_kbit_s": 375, "down_kbit_s": 1000},
    "nbiot": {"rtt_ms": (1500, 10000), "up_kbit_s": 60, "down_kbit_s": 25},
}
