"""A stand-in for Spinnaker 2026.2.3 that speaks Gate's wire format on loopback: Orca's state machine, Echo's triggers, Kubernetes and server groups behind it.

For `backout demo` and the tests; replayed against recordings of a real Gate, Orca and Echo (tests/contract/spinnaker). Usage::

    gate = SandboxGate(clock=clock)
    gate.kubernetes.runs("shop", account="k8s", namespace="shop", name="web", image="registry/web:1")
    gate.save_pipeline({"application": "shop", "name": "deploy", "stages": [...]})
    url = await gate.start()
    ... everything else over HTTP ...
    await gate.stop()

Nothing here has a task or a thread of its own. What will happen stands in one `Timeline`, and happens, with the stamp of its own moment, as soon as
somebody looks after that moment by the injected clock: so a clock that jumps plays a rollback of minutes in no time, in the same order on any machine.
What a person, a registry or a cluster does is a method whose name is the sentence: `gate.somebody_cancels(run)`, `gate.an_image_is_pushed(...)`.
Failures are switches in `gate.faults`. What Clouddriver and Front50 say was read from their source, what Gate, Orca and Echo say was recorded.
"""
