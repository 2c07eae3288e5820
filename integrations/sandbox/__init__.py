"""Stand-ins that speak the real wire formats, on loopback: for `backout demo` and the tests, held to the same contract suites as the real servers."""
