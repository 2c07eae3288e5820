"""A stand-in for Argo CD v3.2.11 that speaks its real wire format over HTTP on loopback: real Git content, simulated cluster.

For `backout demo` and the tests; held to the same contract suite as a real Argo CD (tests/contract/argocd). Usage::

    sandbox = SandboxArgoCD(clock=clock, timings=Timings.fast(), images=digest_of, readiness=ready_by_tag)
    url = await sandbox.start()
    token = sandbox.add_account("backout", ["p, backout, applications, get, */*, allow", "p, backout, applications, sync, */*, allow"])
    ... everything else over HTTP and in the Git repositories that applications name as file:///... ...
    await sandbox.stop()

* `projects`: `put(name, spec)`, `set_windows(name, [window, ...])`; `faults`: switches for failures (see `Faults`), plus `refuse()` and
  `listen()`; `repositories.flush_manifests()` and `drop_clones()` empty the caches; `write_by_kubernetes` goes past the API.
* `clock()` gives the time for stamps, tokens and windows; waiting is real and scaled by `Timings.pace`.
* `images(image)` gives a digest `sha256:...` or None (then a hash of the name); LookupError plays a missing image.
  `readiness(image)` gives seconds until ready, None for never; the default reads the tag (`bad...`, `slowN`).
* A ConfigMap's `.data.health` is its health, as in the lab.

Plain directories only (no Helm, no Kustomize); the kinds in `cluster.KINDS`; no resource actions but those of Rollouts, no logs, one cluster.
"""
