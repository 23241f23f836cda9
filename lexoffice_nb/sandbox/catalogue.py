"""What the invented organisations sell, and to whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """Something to put on an invoice; price in cents, net or gross as the invoice is."""

    name: str
    unit: str
    price: int
    rate: int


@dataclass(frozen=True)
class CustomerEntry:
    """A customer or vendor: a company, or a person as (salutation, first name, family name).

    Attributes:
        seldom: It has a few small, paid invoices and no other.
        special: It has only the invoices that are made for its case, such as those to an authority.
        former: Its name until a year before the books were opened.
        buyer_reference: What an authority wants to find in an XRechnung.
        vendor_too: It is a customer and a vendor.
    """

    name: str
    street: str
    zip: str
    city: str
    person: tuple[str, str, str] | None = None
    vat_id: str | None = None
    archived: bool = False
    seldom: bool = False
    special: bool = False
    former: str | None = None
    country: str = "DE"
    buyer_reference: str | None = None
    vendor_too: bool = False


SERVICES = (
    Service("Beratung", "Stunde", 12500, 19),
    Service("Workshop vor Ort", "Tag", 148000, 19),
    Service("Softwarepflege", "Monat", 34900, 19),
    Service("Programmierung", "Stunde", 10995, 19),
    Service("Ersatzteil M8", "Stück", 1399, 19),
    Service("Fachbuch", "Stück", 4673, 7),
    Service("Verpflegung", "Portion", 1190, 7),
    Service("Zeitschrift", "Heft", 935, 7),
    Service("Schulung nach § 4 UStG", "Tag", 59000, 0),
    Service("Porto, durchlaufend", "Sendung", 549, 0),
)

CUSTOMERS: dict[str, tuple[CustomerEntry, ...]] = {
    "demo": (
        CustomerEntry("Adler Apotheke e. K.", "Marktplatz 3", "79098", "Freiburg", vat_id="DE123456788"),
        CustomerEntry("Bäckerei Brötchen & Krume OHG", "Mühlgasse 12", "01067", "Dresden"),
        CustomerEntry("Contoso Maschinenbau AG", "Werkstraße 1-5", "70435", "Stuttgart", vat_id="DE287654321"),
        CustomerEntry("Dr. Fleming Labortechnik GmbH", "Am Institut 8", "37077", "Göttingen"),
        CustomerEntry("Elbe Logistik SE", "Kaistraße 44", "20457", "Hamburg", vat_id="DE311223344"),
        CustomerEntry("Fahrrad Fuchs GmbH", "Lindenallee 9", "04229", "Leipzig", former="Fahrrad Fuchs"),
        CustomerEntry("Gärtnerei Grünwald", "Feldweg 2", "82031", "Grünwald"),
        CustomerEntry("Hotel Seeblick KG", "Uferpromenade 17", "88131", "Lindau"),
        CustomerEntry("Ingenieurbüro Jäger", "Steinweg 30", "38100", "Braunschweig", archived=True),
        CustomerEntry("Kaffeerösterei Kontor GmbH", "Speicherstraße 6", "28217", "Bremen", vendor_too=True),
        CustomerEntry("Lehmann Immobilien", "Kantstraße 101", "10627", "Berlin"),
        CustomerEntry("Muster & Söhne Tochter UG (haftungsbeschränkt)", "Hauptstraße 1", "60311", "Frankfurt"),
        CustomerEntry("Nordlicht Energie eG", "Holstenbrücke 4", "24103", "Kiel"),
        CustomerEntry("<img src=x onerror=alert(1)> & Co. KG", "Skriptgasse 7", "50667", "Köln", seldom=True),
        CustomerEntry('=HYPERLINK("https://example.invalid") Tabellen GmbH', "Zellenweg 1", "90402", "Nürnberg"),
        CustomerEntry("", "Rosenweg 5", "53111", "Bonn", person=("Frau", "Sibel", "Yılmaz")),
        CustomerEntry("", "Am Hang 21", "69117", "Heidelberg", person=("Herr", "Karl-Heinz", "Groß")),
        CustomerEntry("", "Talstraße 88", "99084", "Erfurt", person=("Frau", "Zoë", "O'Neill")),
        CustomerEntry(
            *("Stadt Musterhausen, Amt für Schulen", "Rathausplatz 1", "34117", "Kassel"),
            special=True,
            buyer_reference="04011000-12345-03",
        ),
        CustomerEntry(
            *("Alpen Technik GmbH", "Ringstraße 5", "1010", "Wien"), special=True, country="AT", vat_id="ATU12345675"
        ),
    ),
    "kanzlei": (
        CustomerEntry("Autohaus Abendroth GmbH", "Ringstraße 60", "45127", "Essen"),
        CustomerEntry("Buchladen am Dom", "Domplatz 2", "48143", "Münster"),
        CustomerEntry("Café Central GbR", "Bahnhofstraße 11", "65185", "Wiesbaden"),
        CustomerEntry("", "Gartenstraße 3", "33602", "Bielefeld", person=("Herr", "Émile", "Wagner")),
    ),
}

VENDORS: dict[str, tuple[CustomerEntry, ...]] = {
    "demo": (
        CustomerEntry("Bürobedarf Blatt KG", "Papierweg 7", "30159", "Hannover", vat_id="DE246813579"),
        CustomerEntry("Cloudwerk Rechenzentrum GmbH", "Serverallee 12", "60327", "Frankfurt", vat_id="DE135792468"),
        CustomerEntry("Druckerei Dachs", "Setzergasse 3", "55116", "Mainz"),
        CustomerEntry("Energie & Wasser Rhein-Main AG", "Am Kraftwerk 1", "63065", "Offenbach"),
        CustomerEntry("Telefon Tiger GmbH", "Funkturm 9", "40213", "Düsseldorf"),
        CustomerEntry("", "Schreinerhof 4", "61348", "Bad Homburg", person=("Herr", "Anton", "Zimmer")),
    ),
    "kanzlei": (
        CustomerEntry("Fachverlag Paragraph GmbH", "Verlagshof 2", "80331", "München"),
        CustomerEntry("Telefon Tiger GmbH", "Funkturm 9", "40213", "Düsseldorf"),
    ),
}

# Posting categories of bookkeeping vouchers (the vendor's ids).
INCOME = "8f8664a0-fd86-11e1-a21f-0800200c9a66"
INCOME_OF_SMALL_BUSINESS = "f5c7fee8-f184-4e7a-ab04-8f7e7ad6c207"
EXPENSE = "16d04a28-fd91-11e1-a21f-0800200c9a66"
