from service.cli import render
from tests.unit.service.cli.render.printing import Golden


def test_doctor_puts_the_fix_under_what_is_not_well(golden: Golden) -> None:
    lines = [
        {"what": "store", "well": "ok", "says": "sqlite, WAL, fsync 0.9 ms", "fix": ""},
        {"what": "argocd prod", "well": "ok", "says": "v3.2.11, clock +0.1 s, 214 applications", "fix": ""},
        {
            "what": "argocd prod",
            "well": "no",
            "says": "may stop auto-sync on billing/*",
            "fix": "add to policy.csv:  p, role:backout, applications, update, billing/*, allow",
        },
        {"what": "notify", "well": "warn", "says": "nothing was ever sent", "fix": "send a test message"},
    ]
    golden("doctor", render.doctor(lines))
