"""What an address needs in which country: ISO 3166 codes, and the countries with states or without postal codes."""

from __future__ import annotations

# ISO 3166-1 alpha-2, and XK (Kosovo), which Commerce and the carriers use.
_CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
COUNTRY_CODES = frozenset(_CODES.split())

# No parcel finds its way there without the state, and Commerce asks for it by default.
COUNTRIES_WITH_STATES = frozenset(("AU", "BR", "CA", "IN", "MX", "US"))

# No postal codes, or none that senders have to give; Commerce's own default is HK IE MO PA.
_CODES_WITHOUT = """
    AE AG AO AW BF BI BJ BO BS BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GD GH GM GQ GY HK IE JM KI KM KN KP LC ML MO MR
    MW NR NU PA QA RW SB SC SL SO SR SS ST SX SY TD TG TK TL TO TT TV UG VU WS YE ZW
"""
COUNTRIES_WITHOUT_POSTAL_CODES = frozenset(_CODES_WITHOUT.split())

# Countries that are one city.
CITY_STATES = {"GI": "Gibraltar", "HK": "Hong Kong", "MC": "Monaco", "MO": "Macao", "SG": "Singapore"}
