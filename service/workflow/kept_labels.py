"""Image labels that were read once are kept: content named by its digest does not change, so a registry is asked once for each image and never again.

What is kept outlives a restart, and the image itself: a registry that has forgotten it cannot say any more from which commit it was built.
"""

import contextlib
from dataclasses import replace
from typing import Any

from service.domain.errors import UnavailableError
from service.domain.facts import Fact, Key, Known
from service.domain.ports import Clock, FactSource, Labels


class KeptLabels:
    """A `FactSource` before another one, the registries. `platform` is the one that they pick of an image for several: another one has other labels.

    The store is no condition: while it is away, the registries are asked.
    """

    kinds = frozenset({"image labels"})

    def __init__(self, *, source: FactSource, kept: Labels, platform: str, clock: Clock) -> None:
        self._source = source
        self._kept = kept
        self._platform = platform
        self._clock = clock

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact as it was read then; as long as it holds from then on it holds from now on, for the same bytes would say the same."""
        image = str(key.subject)
        try:
            kept = await self._kept.of(image, self._platform)
        except UnavailableError:
            kept = None
        if kept is not None:
            return replace(kept, good_for=self._clock.now() - kept.evidence.read_at + kept.good_for)
        fact = await self._source.read(key)
        if isinstance(fact, Known):
            with contextlib.suppress(UnavailableError):  # it is read again the next time
                await self._kept.keep(image, self._platform, fact)
        return fact
