"""Scripted servers, and fixtures with the real ones of tools/ftpd: what the test suites talk to."""
