"""Decides: words, facts, rules, verdicts, plans. Pure: no I/O, no clock, no logging; whoever calls brings the time and the facts."""
