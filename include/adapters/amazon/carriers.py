"""Amazon's carrier codes for the carriers of Commerce's tracks."""

from __future__ import annotations

import re

OTHER_CARRIER = "Other"

# Letters and digits of a Commerce carrier code or title -> Amazon's carrier code, spelled as in Seller Central's list:
# another spelling leaves the order unconfirmed (github.com/amzn/selling-partner-api-docs/issues/413).
CARRIERS = {
    "ups": "UPS",
    "unitedparcelservice": "UPS",
    "fedex": "FedEx",
    "federalexpress": "FedEx",
    "usps": "USPS",
    "unitedstatespostalservice": "USPS",
    "ontrac": "OnTrac",
    "lasership": "Lasership",
    "canadapost": "Canada Post",
    "dhl": "DHL",
    "dhlexpress": "DHL",
    "dhlpaket": "DHL",
    "dhlglobalmail": "DHL Global Mail",
    "deutschepost": "Deutsche Post",
    "dpd": "DPD",
    "gls": "GLS",
    "tnt": "TNT",
    "royalmail": "Royal Mail",
    "parcelforce": "Parcelforce",
    "laposte": "La Poste",
    "chronopost": "Chronopost",
    "posteitaliane": "Poste Italiane",
    "sda": "SDA",
    "yamato": "YamatoTransport",
    "yamatotransport": "YamatoTransport",
    "sagawa": "SagawaExpress",
    "sagawaexpress": "SagawaExpress",
}


def carrier_for(commerce_carrier_code: str, title: str) -> tuple[str, str | None]:
    """Amazon's (carrierCode, carrierName) for a Commerce track's carrier code and title.

    The code decides, then the title (tracks that people type in have the code `custom`). An unknown carrier is
    ("Other", its title): Amazon takes it, but it does not count for the valid tracking rate.
    """
    for words in (commerce_carrier_code, title):
        code = CARRIERS.get(re.sub("[^a-z0-9]", "", words.lower()))
        if code is not None:
            return code, None
    return OTHER_CARRIER, title.strip() or commerce_carrier_code.strip() or OTHER_CARRIER
