"""The smallest stores file, to which a test appends settings of its one store."""

from __future__ import annotations

STORES = """\
accounts:
  - name: acme-na
    seller_id: A1EXAMPLESELLER
    region: na
    stores:
      - name: Acme US
        marketplace_id: ATVPDKIKX0DER
        commerce_store_view: default
"""
