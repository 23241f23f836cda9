"""The words on the sandbox's pages, in English and German."""

from __future__ import annotations

LANGUAGES = ("en", "de")

_TEXTS: dict[str, tuple[str, str]] = {
    "sandbox": ("Sandbox", "Sandbox"),
    "day": ("%d %b %Y", "%d.%m.%Y"),
    "sandbox_note": (
        "A lexoffice on this machine; the data is invented.",
        "Ein lexoffice auf diesem Rechner; die Daten sind erfunden.",
    ),
    "sign_in": ("Sign in", "Anmelden"),
    "sign_in_for_client": ("{client} asks you to sign in.", "{client} bittet Sie, sich anzumelden."),
    "sign_in_for_keys": ("To manage your API keys.", "Um Ihre API-Schlüssel zu verwalten."),
    "sign_in_for_partner": ("To see the partner client.", "Um den Partner-Client zu sehen."),
    "sign_in_as": ("Sign in as {name}", "Als {name} anmelden"),
    "or_someone_else": ("Or from another organisation", "Oder aus einer anderen Organisation"),
    "no_password": (
        "There are no passwords here. Never type a real one into a sandbox.",
        "Hier gibt es keine Passwörter. Geben Sie in einer Sandbox nie ein echtes ein.",
    ),
    "consent": ("Allow access?", "Zugriff erlauben?"),
    "consent_lead": (
        "{client} asks for access to the data of {company}.",
        "{client} bittet um Zugriff auf die Daten von {company}.",
    ),
    "it_may": ("It will be able to", "Damit kann es"),
    "signed_in_as": ("Signed in as {name}", "Angemeldet als {name}"),
    "signed_in_label": ("Signed in as", "Angemeldet als"),
    "not_you": ("Not you?", "Nicht Sie?"),
    "sent_back": ("Afterwards you are sent back to", "Danach geht es zurück zu"),
    "sent_back_paste": (
        "No program listens there: copy the address of the page that follows into the notebook.",
        "Dort hört kein Programm zu: Kopieren Sie die Adresse der folgenden Seite in das Notebook.",
    ),
    "allow": ("Allow", "Erlauben"),
    "refuse": ("Refuse", "Ablehnen"),
    "consent_doubt": (
        "Allow only if you have just opened this link from your own notebook.",
        "Erlauben Sie nur, wenn Sie diesen Link gerade selbst aus Ihrem Notebook geöffnet haben.",
    ),
    "keys": ("API keys", "API-Schlüssel"),
    "keys_lead": (
        "A key opens all data of {company} to whoever holds it.",
        "Ein Schlüssel öffnet jedem, der ihn hat, alle Daten von {company}.",
    ),
    "key_label": ("Label", "Bezeichnung"),
    "key_label_hint": ("What you will use it for", "Wofür Sie ihn verwenden"),
    "make_key": ("Create key", "Schlüssel erzeugen"),
    "new_key": ("Your new key", "Ihr neuer Schlüssel"),
    "new_key_note": (
        "Copy it now: it is shown this one time.",
        "Kopieren Sie ihn jetzt: Er wird nur dieses eine Mal gezeigt.",
    ),
    "no_keys": ("No keys yet.", "Noch keine Schlüssel."),
    "your_keys": ("Your keys", "Ihre Schlüssel"),
    "created_on": ("created {date}", "erzeugt am {date}"),
    "delete": ("Delete", "Löschen"),
    "delete_key": ("Delete the key {label}", "Schlüssel {label} löschen"),
    "unnamed_key": ("Unnamed key", "Schlüssel ohne Namen"),
    "partner": ("Partner client", "Partner-Client"),
    "partner_lead": (
        "With this, a program signs people in as the vendor's partners do.",
        "Damit meldet ein Programm Personen an, wie es Partner des Anbieters tun.",
    ),
    "client_id": ("Client ID", "Client-ID"),
    "client_secret": ("Client secret", "Client-Secret"),
    "show_secret": ("Show the secret", "Secret anzeigen"),
    "redirect_uri": ("Redirect URI", "Redirect-URI"),
    "address_authorize": ("Authorization endpoint", "Autorisierungsendpunkt"),
    "address_token": ("Token endpoint (HTTP Basic and PKCE)", "Token-Endpunkt (HTTP Basic und PKCE)"),
    "address_revoke": ("Revocation endpoint (HTTP Basic)", "Widerrufsendpunkt (HTTP Basic)"),
    "partner_note": (
        "The secret was made on this machine and is of use nowhere else.",
        "Das Secret wurde auf diesem Rechner erzeugt und gilt nirgendwo sonst.",
    ),
    "sign_out": ("Sign out", "Abmelden"),
    "home_lead": (
        "An authorization server, a REST API and invented books, for trying and learning.",
        "Ein Autorisierungsserver, eine REST-API und erfundene Bücher, zum Ausprobieren und Lernen.",
    ),
    "home_start": (
        "To sign in, open the login link that your notebook shows.",
        "Zum Anmelden öffnen Sie den Link, den Ihr Notebook zeigt.",
    ),
    "error": ("This did not work", "Das ging nicht"),
    "error_unknown_client": (
        "The link names a program that is not registered here. Nothing was sent anywhere.",
        "Der Link nennt ein Programm, das hier nicht registriert ist. Es wurde nichts weitergegeben.",
    ),
    "error_unknown_client_do": ("Check the client ID in the notebook.", "Prüfen Sie die Client-ID im Notebook."),
    "error_bad_redirect_uri": (
        "The address to return to is not registered for this program, so you are not sent there.",
        "Die Adresse für den Rückweg ist für dieses Programm nicht registriert. Deshalb geht es dorthin nicht weiter.",
    ),
    "error_bad_redirect_uri_do": (
        "The redirect URI has to match the registered one exactly, a trailing slash included.",
        "Die Redirect-URI muss genau der registrierten entsprechen, auch im Schrägstrich am Ende.",
    ),
    "error_repeated_parameter": (
        "The link carries a parameter more than once, so its meaning is not certain.",
        "Der Link enthält einen Parameter mehrfach; was gemeint ist, ist damit nicht sicher.",
    ),
    "error_repeated_parameter_do": (
        "Open a new login link from the notebook.",
        "Öffnen Sie einen neuen Link aus dem Notebook.",
    ),
    "error_expired": (
        "This sign-in is over, too old, or was begun in another browser.",
        "Diese Anmeldung ist abgeschlossen, zu alt oder wurde in einem anderen Browser begonnen.",
    ),
    "error_expired_do": ("Open a new login link from the notebook.", "Öffnen Sie einen neuen Link aus dem Notebook."),
    "error_too_many": (
        "Too many requests came in too short a time, so this one was not looked at.",
        "Es kamen zu viele Anfragen in zu kurzer Zeit. Diese wurde deshalb nicht bearbeitet.",
    ),
    "error_too_many_do": (
        "Wait a minute, then reload this page.",
        "Warten Sie eine Minute und laden Sie diese Seite dann neu.",
    ),
    "error_not_our_form": (
        "This form was not sent from one of our pages, so it was not taken.",
        "Dieses Formular kam nicht von einer unserer Seiten und wurde deshalb nicht angenommen.",
    ),
    "error_not_our_form_do": (
        "Go back, reload the page and try again. Cookies must be allowed for this address.",
        "Gehen Sie zurück, laden Sie die Seite neu und versuchen Sie es erneut. Cookies müssen hier erlaubt sein.",
    ),
    "error_not_found": ("There is no such page.", "Diese Seite gibt es nicht."),
    "error_not_found_do": ("Open the login link from the notebook.", "Öffnen Sie den Link aus dem Notebook."),
    "error_trouble": ("The sandbox has an error of its own.", "Die Sandbox hat selbst einen Fehler."),
    "error_trouble_do": ("Open a new login link from the notebook.", "Öffnen Sie einen neuen Link aus dem Notebook."),
}

# What the client's own card says of the scopes that it knows, so that nobody reads two promises for one thing.
_SCOPES: dict[str, tuple[str, str]] = {
    "openid": ("Know who you are", "Erfahren, wer Sie sind"),
    "profile": ("See your name and your organisation", "Ihren Namen und Ihre Organisation sehen"),
    "email": ("See your e-mail address", "Ihre E-Mail-Adresse sehen"),
    "offline_access": ("Stay signed in without you", "Auch ohne Ihr Zutun angemeldet bleiben"),
    "invoice.read": ("Read your invoices and the list of vouchers", "Ihre Rechnungen und die Liste der Belege lesen"),
    "invoice.write": ("Create invoices", "Rechnungen anlegen"),
    "contact.read": ("Read your contacts", "Ihre Kontakte lesen"),
    "profile.read": ("See your organisation's profile", "Das Profil Ihrer Organisation sehen"),
    "voucherlist.read": ("Read the list of vouchers", "Die Liste der Belege lesen"),
    "invoices.read": ("Read your invoices", "Ihre Rechnungen lesen"),
    "invoices.write": ("Create invoices", "Rechnungen anlegen"),
    "credit-notes.read": ("Read your credit notes", "Ihre Rechnungskorrekturen lesen"),
    "contacts.read": ("Read your contacts", "Ihre Kontakte lesen"),
    "articles.read": ("Read your articles", "Ihre Artikel lesen"),
    "files.status": ("See whether files were taken in", "Sehen, ob Dateien verarbeitet wurden"),
    "organization.read": ("See your company's master data", "Die Stammdaten Ihres Unternehmens sehen"),
    "transaction-assignment-hint.write": (
        "Hint which payment belongs to which voucher",
        "Hinweise geben, welche Zahlung zu welchem Beleg gehört",
    ),
    "vouchers.sendmail": ("Send documents by e-mail", "Dokumente per E-Mail versenden"),
}
_THINGS: dict[str, tuple[str, str]] = {
    "articles": ("articles", "Artikel"),
    "cashbox": ("cash boxes", "Kassen"),
    "contacts": ("contacts", "Kontakte"),
    "contacts.bankaccounts": ("bank accounts of contacts", "Bankverbindungen von Kontakten"),
    "credit-notes": ("credit notes", "Rechnungskorrekturen"),
    "delivery-notes": ("delivery notes", "Lieferscheine"),
    "dunnings": ("dunning letters", "Mahnungen"),
    "files": ("files", "Dateien"),
    "finance": ("your bank accounts and transactions", "Ihre Bankkonten und Umsätze"),
    "invoices": ("invoices", "Rechnungen"),
    "order-confirmations": ("order confirmations", "Auftragsbestätigungen"),
    "payments": ("payments", "Zahlungen"),
    "quotations": ("quotations", "Angebote"),
    "recurring-templates": ("recurring invoices", "Serienrechnungen"),
    "vouchers": ("bookkeeping vouchers", "Buchungsbelege"),
}
_VERBS: dict[str, tuple[str, str]] = {
    "delete": ("Delete {thing}", "{thing} löschen"),
    "read": ("Read {thing}", "{thing} lesen"),
    "write": ("Create and change {thing}", "{thing} anlegen und ändern"),
}


def text(key: str, language: str, **values: str) -> str:
    """A text in a language, with its values put in (not escaped: templates do that)."""
    return _TEXTS[key][LANGUAGES.index(language)].format(**values)


def scope_text(scope: str, language: str) -> str:
    """What a scope allows, in plain words."""
    number = LANGUAGES.index(language)
    if scope in _SCOPES:
        return _SCOPES[scope][number]
    thing, verb = scope.rsplit(".", 1)
    return _VERBS[verb][number].format(thing=_THINGS[thing][number])
