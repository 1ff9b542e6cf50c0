"""Real FTP servers, a proxy that measures and harms, and scripted servers: what the test suites talk to."""
