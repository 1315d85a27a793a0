"""What answers cost: prices, metering, and budgets that are reserved before they are spent."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "cost.per_request_usd": "cost/prices.py",
    "cost.per_day_usd": "cost/ledger.py",
    "cost.per_user_per_day_usd": "cost/ledger.py",
    "cost.egress_usd_per_gb": "cost/extras.py",
    "cost.review_usd_per_minute": "cost/extras.py",
    "cost.review_minutes": "cost/extras.py",
    "cost.retrain_usd": "cost/extras.py",
    "cost.retrains_per_month": "cost/estimate.py",
}
