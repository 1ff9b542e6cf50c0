"""Real FTP servers on loopback, and a proxy that measures and harms: for `tools bench` and for the tests."""
