"""What answers cost: prices, metering, and budgets that are reserved before they are spent."""

from __future__ import annotations

from collections.abc import Mapping

ENFORCES: Mapping[str, str] = {
    "cost.per_request_usd": "cost/prices.py",
    "cost.per_day_usd": "cost/ledger.py",
    "cost.per_month_usd": "cost/ledger.py",
    "cost.per_user_per_day_usd": "cost/ledger.py",
    "cost.per_user_per_month_usd": "cost/ledger.py",
    "cost.soft_share": "cost/ledger.py",
    "budgets": "cost/ceilings.py",
    "budgets.soft_share": "cost/ledger.py",
    "budgets.project": "cost/ceilings.py",
    "budgets.project.per_day_usd": "cost/ledger.py",
    "budgets.project.per_month_usd": "cost/ledger.py",
    "budgets.project.requests_per_minute": "cost/limits.py",
    "budgets.project.tokens_per_minute": "cost/limits.py",
    "budgets.providers": "cost/ceilings.py",
    "budgets.providers.per_day_usd": "cost/ledger.py",
    "budgets.providers.per_month_usd": "cost/ledger.py",
    "budgets.teams": "cost/ceilings.py",
    "budgets.teams.per_day_usd": "cost/ledger.py",
    "budgets.teams.per_month_usd": "cost/ledger.py",
    "budgets.teams.requests_per_minute": "cost/limits.py",
    "budgets.teams.tokens_per_minute": "cost/limits.py",
    "budgets.tags": "cost/ceilings.py",
    "budgets.tags.per_day_usd": "cost/ledger.py",
    "budgets.tags.per_month_usd": "cost/ledger.py",
    "budgets.tags.requests_per_minute": "cost/limits.py",
    "budgets.tags.tokens_per_minute": "cost/limits.py",
    "limits": "cost/limits.py",
    "limits.requests_per_minute": "cost/limits.py",
    "limits.tokens_per_minute": "cost/limits.py",
    "limits.per_user_requests_per_minute": "cost/limits.py",
    "limits.per_user_tokens_per_minute": "cost/limits.py",
    "cost.egress_usd_per_gb": "cost/extras.py",
    "cost.review_usd_per_minute": "cost/extras.py",
    "cost.review_minutes": "cost/extras.py",
    "cost.retrain_usd": "cost/extras.py",
    "cost.retrains_per_month": "cost/estimate.py",
}
