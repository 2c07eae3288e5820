"""Whether managed delivery (keel) keeps a target as it wants it: then whatever else is done to the target is taken back; pure.

Source only: no keel ran when Gate was recorded. It says of an application what it manages, by account; which cluster of an account a resource is it says in
words of its own for each provider, so every resource in the target's account counts.
"""

from dataclasses import dataclass

from integrations.json_shapes import Body, entries, part, text
from service.domain.keys import Owner
from service.domain.model import Json

KIND = "keel"
FIX = "Pause its management of the application, or pin the good version there: keel goes back by itself then."


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """What keel manages of an application: names of resources by account, "" for one that does not name its account. `unknown` is why nobody can say."""

    application: str
    resources: tuple[tuple[str, str], ...] = ()
    unknown: str = ""

    def owner_in(self, account: str) -> Owner | None:
        """Keel as an owner of what the account holds; None when it manages nothing there."""
        if self.unknown:
            return Owner(kind="", name=KIND, says=f"whether managed delivery (keel) manages application {self.application} is unknown: {self.unknown}")
        here = [name for where, name in self.resources if where in {"", account}]
        if not here:
            return None
        more = f" and {len(here) - 1} more" if len(here) > 1 else ""
        says = f"managed delivery (keel) manages {here[0]}{more} of application {self.application}, and takes back whatever it did not do itself"
        return Owner(kind=KIND, name=self.application, reverts=True, reverts_pin=True, says=says, fix=FIX)


def managed_of(application: str, body: Json) -> Managed:
    """As `/managed/application/{app}` tells it; what is paused, as a whole or by itself, is left alone."""
    whole: Body = part({"it": body}, "it")
    if whole.get("applicationPaused") is True or whole.get("hasManagedResources") is False:
        return Managed(application=application)
    told = entries(whole.get("resources"))
    if not told and whole.get("hasManagedResources") is True:
        return Managed(application=application, resources=(("", "what it does not name"),))
    alive = [one for one in told if one.get("isPaused") is not True]
    named = ((text(part(one, "locations").get("account")), text(one.get("id")) or "a resource") for one in alive)
    return Managed(application=application, resources=tuple(named))
