# What differs between the firmware of 2021 and that of 2026, for `tools sim --firmware`: the "variants" of WORLD.json.
FIRMWARE = {
    "2021": {
        "check_net": "old",  # wait_network_connected, OSError for a bad time-out
        "accept": 2,  # (connection, address)
        "getaddrinfo": "empty",  # [] when a look-up fails
        "eof": "107",  # OSError(107) at the end of the stream
        "refused": "looks_connected",  # connect() does not tell
        "data_call": "start",  # start() only: no activate, no deactivate
        "data_callback": 3,  # items of the tuple that the callback gets
        "ntp": "plain",  # settime() takes no time zone
    },
    "2026": {
        "check_net": "new",
        "accept": 3,
        "getaddrinfo": "error",
        "eof": "empty",
        "refused": "error",
        "data_call": "activate",
        "data_callback": 2,
        "ntp": "zone",
    },
}
