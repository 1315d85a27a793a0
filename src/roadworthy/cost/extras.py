"""What a service costs beside its models: what leaves the network, people, training."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from ..declare.service import Cost
from ..types import MICRO

BYTES_PER_GB = 1_000_000_000
BYTES_PER_TOKEN = 4.0
"""What a token is where nothing was measured; of English text about four bytes."""


class Extras(NamedTuple):
    """What is declared of it, in dollars; zero where nothing is.

    Attributes:
        egress_usd_per_gb: Of a gigabyte that leaves.
        review_usd: Of one case that a person decides.
        retrain_usd: Of one training.
        retrains_per_month: How often it is expected to be trained again.
    """

    egress_usd_per_gb: Decimal = Decimal(0)
    review_usd: Decimal = Decimal(0)
    retrain_usd: Decimal = Decimal(0)
    retrains_per_month: float = 0.0

    @classmethod
    def of(cls, cost: Cost) -> Extras:
        """Return what a service declares."""
        minutes = Decimal(str(cost.review_minutes))
        return cls(
            cost.egress_usd_per_gb or Decimal(0),
            (cost.review_usd_per_minute or Decimal(0)) * minutes,
            cost.retrain_usd or Decimal(0),
            cost.retrains_per_month,
        )

    def egress_micro(self, size: float) -> int:
        """Return what so many bytes cost that leave, in micro-dollars.

        >>> Extras(egress_usd_per_gb=Decimal("0.09")).egress_micro(2_000_000_000)
        180000
        """
        return _micro(self.egress_usd_per_gb * Decimal(int(size)) / BYTES_PER_GB)

    def review_micro(self, cases: float) -> int:
        """Return what so many decided cases cost, in micro-dollars."""
        return _micro(self.review_usd * Decimal(str(cases)))

    def retrain_micro(self, times: float) -> int:
        """Return what so many trainings cost, in micro-dollars."""
        return _micro(self.retrain_usd * Decimal(str(times)))


def _micro(usd: Decimal) -> int:
    return int((usd * MICRO).to_integral_value(ROUND_HALF_UP))
