"""All rules in reading order. A new rule is one file here that ends in `RULE = Rule(...)`, its test, and one line in this list."""

from service.domain.rule import Rule

RULES: tuple[Rule, ...] = ()
