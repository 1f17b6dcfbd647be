"""Amazon's and Adobe's published models. They are not in this repository: `../shared/models`, beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
AMAZON_ORDERS = MODELS / "amazon" / "orders_2026-01-01.json"
needs_models = pytest.mark.skipif(
    not MODELS.is_dir(), reason="../shared/models, Amazon's and Adobe's published models, is not beside the checkout"
)
