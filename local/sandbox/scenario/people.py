"""The invented buyers of the scenario. Phone numbers are from ranges reserved for fiction, where a country has one."""

from local.sandbox.scenario.orders import Person

DANA = Person("Dana Whitfield", "418 Alder St Apt 5", "Portland", "OR", "97205", "US", "+1 503-555-0142")
MARCUS = Person("Marcus Bell", "77 Juniper Way", "Austin", "TX", "78704", "US", "+1 512-555-0177")
SIOBHAN = Person("Siobhán O'Connor", "9 Harbor View Rd", "Boston", "MA", "02110", "US", "+1 617-555-0119")
PRIYA = Person("Priya Raman", "2201 Lakeshore Dr #14B", "Chicago", "IL", "60601", "US", "+1 312-555-0163")
SUHARTO = Person("Suharto", "1450 Mission St", "San Francisco", "CA", "94103", "US", "+1 415-555-0128")
ELENA = Person("Elena Vasquez-Ortiz", "PO Box 3310", "San Juan", "PR", "00907", "US", "+1 787-555-0101")
TOM = Person("Tom Nguyen", "640 Prairie Ln", "Omaha", "NE", "68102", "US", "+1 402-555-0155")
OFFICE = Person(
    "Ruth Adler", "1200 Commerce Pkwy, Dock 4", "Columbus", "OH", "43215", "US", "+1 614-555-0190", "Adler & Stein LLP"
)
CARLA = Person("Carla Benedetti", "36 Orchard Ct", "Denver", "CO", "80205", "US", "+1 303-555-0174")
HOLLIS = Person("Hollis Grant", "5 Ferry Landing", "", "WA", "98104", "US", "+1 206-555-0188")
CHLOE = Person("Chloé Tremblay", "315 Rue Sainte-Catherine", "Montréal", "QC", "H2X 2A1", "CA", "+1 514-555-0133")
LIAM = Person("Liam MacDonald", "88 Barrington St", "Halifax", "NS", "B3J 1Z2", "CA", "+1 902-555-0110")
JOERG = Person("Jörg Müller-Weiß", "Große Straße 12", "Köln", "Nordrhein-Westfalen", "50667", "DE", "+49 30 23125 001")
ELENI = Person("Ελένη Παπαδοπούλου", "Lindenallee 4a", "München", "Bayern", "80331", "DE", "+49 89 99998 002")
KATHRIN = Person("Dr. Kathrin Schäfer", "Am Höhenweg 7", "Görlitz", "", "02826", "DE", "+49 40 66969 003")
LAYLA = Person("ليلى الحسن", "22 Edgware Road", "London", "", "W2 2EH", "GB", "+44 20 7946 0011")
OWEN = Person(
    "Owen Fairchild-Price", "The Old Mill, Bridge Lane", "Bath", "Somerset", "BA1 1LN", "GB", "+44 1632 960022"
)
GRACE = Person("Grace Okafor", "Flat 3, 18 Deansgate", "Manchester", "", "M3 1AZ", "GB", "+44 161 496 0033")
TANAKA = Person("田中 花子", "神宮前1-2-3 メゾン青山405", "渋谷区", "東京都", "150-0001", "JP", "03-0000-0001")
SATO = Person("佐藤 健", "梅田3-1-1", "大阪市北区", "大阪府", "530-0001", "JP", "06-0000-0002")
