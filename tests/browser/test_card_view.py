"""The view of the sign-in card alone: the ESM on a plain page in a real Chromium, the comm played by the page."""

import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from lexoffice_nb.notebook.card_widget import script, style

PAGE = "http://127.0.0.1/card_page.html"  # served from the files below; a secure context, as JupyterLab's is
NOTEBOOK = Path(__file__).parents[2] / "lexoffice_nb/notebook"
THEMES = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab"
CALLBACK = "http://127.0.0.1:49152/callback?code=planted-code&state=planted-state"
HREF = "https://login.example/authorize?client_id=a&state=b"

LINK = {
    "href": HREF,
    "label": "Open login page",
    "host_label": "leads to",
    "copy": "Copy link",
    "copied": "Copied",
    "copy_failed": "Select the link and copy it",
}
BOX = {
    "kind": "callback",
    "label": "Callback URL",
    "hint": "Only needed if the browser ends on a page that cannot be reached.",
    "placeholder": "http://127.0.0.1:…/callback?code=…",
    "primary": False,
    "sent": "Callback received",
    "too_long": "That is too long for a callback URL",
}
SCOPES = {
    "label": "It may",
    "items": [
        {"text": "see your invoices", "name": "invoice.read", "mark": "granted"},
        {"text": "see your contacts", "name": "contact.read", "mark": "refused"},
        {"text": "see your profile", "name": "profile", "mark": "asked"},
    ],
}
AGAIN = {"name": "again", "label": "Try again", "primary": True}


def card(version=1, **changes):
    """A card that waits for the sign-in, with everything on it that a waiting card has."""
    return {
        "kind": "card",
        "version": version,
        "lang": "en",
        "state": "waiting",
        "title": "Sign in to lexoffice",
        "status": {"icon": "waiting", "text": "Waiting for the sign-in in the browser"},
        "rows": [{"label": "Asked by", "value": "this notebook", "mono": False}],
        "scopes": SCOPES,
        "link": LINK,
        "box": BOX,
        "problem": None,
        "notes": ["A proxy is in use: http://proxy.example:3128"],
        "actions": [],
        "texts": {"disconnected": "No answer from the kernel yet"},
    } | changes


def signed_in(version=2, **changes):
    return card(
        version,
        state="signed_in",
        title="Signed in to lexoffice",
        status={"icon": "ok", "text": "Signed in"},
        rows=[{"label": "Company", "value": "Muster GmbH", "strong": True}],
        link=None,
        box=None,
        **changes,
    )


class CardPage:
    """A page with one or more views of one model, and the two ends of its comm."""

    def __init__(self, page):
        self.page = page
        self.theme = ""
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.route("**/*", self.serve)

    def open(self, theme="", width=720, **media):
        """Loads the page: a new document, with nothing in it of what the one before had."""
        self.theme = theme
        self.page.set_viewport_size({"width": width, "height": 700})
        self.page.emulate_media(**{"color_scheme": "light", "reduced_motion": "no-preference"} | media)
        self.page.goto(PAGE)
        self.page.wait_for_function("window.loaded")
        return self

    def serve(self, route):
        if not route.request.url.startswith("http://127.0.0.1/"):
            self.errors.append(f"asked for {route.request.url}")
            route.abort()
            return
        name = route.request.url.rpartition("/")[2]
        if name == "theme.css":
            route.fulfill(body=self.theme, content_type="text/css")
        elif name == "card.js":
            route.fulfill(body=script("login_widget.js"), content_type="text/javascript")
        elif name == "card.css":
            route.fulfill(body=style(), content_type="text/css")
        else:
            route.fulfill(path=Path(__file__).parent / name)

    def mount(self, *cards):
        self.page.evaluate("mount()")
        for one in cards:
            self.show(one)
        return self

    def show(self, message):
        self.page.evaluate("message => model.emit('msg:custom', message)", message)

    def sent(self, kind=None):
        """What was sent to Python; `held` is what the page's inputs held at the moment of sending."""
        messages = self.page.evaluate("model.sent")
        return [message for message in messages if kind in (None, message["kind"])]

    def disconnect(self):
        self.page.evaluate("model.connected = false")

    @property
    def status(self):
        return self.page.get_by_role("status")

    @property
    def link(self):
        return self.page.get_by_role("link")

    @property
    def box(self):
        return self.page.get_by_role("textbox", name="Callback URL", exact=True)

    @property
    def copy(self):
        return self.page.get_by_role("button", name="Copy link", exact=True)

    def focused(self):
        return self.page.evaluate("document.activeElement.textContent || document.activeElement.tagName")


def new_context(chromium):
    context = chromium.new_context(locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(5000)
    return context


@pytest.fixture(scope="module")
def one_page(chromium):
    """One tab for all tests: a new browser profile costs more than everything that a test does in it."""
    with new_context(chromium) as context:
        yield CardPage(context.new_page())


@pytest.fixture
def context(one_page):
    return one_page.page.context


@pytest.fixture
def view(one_page):
    one_page.errors.clear()
    for other in one_page.page.context.pages:
        if other != one_page.page:
            other.close()
    one_page.page.bring_to_front()
    one_page.page.mouse.move(0, 0)
    yield one_page.open()
    assert one_page.errors == []


@pytest.fixture
def timed(chromium):
    """A view whose clock stands still until the test moves it; a clock is its profile's own."""
    with new_context(chromium) as context:
        page = context.new_page()
        page.clock.install()
        opened = CardPage(page).open()
        page.clock.pause_at("2040-01-01")
        yield opened
        assert opened.errors == []


# What is on the card


def test_elements_have_the_names_that_python_gave_them(view):
    view.mount(card())
    expect(view.page.get_by_role("link", name="Open login page", exact=True)).to_be_visible()
    expect(view.copy).to_be_visible()
    expect(view.box).to_be_visible()
    expect(view.status).to_have_text("Waiting for the sign-in in the browser")
    expect(view.page.get_by_role("group", name="Sign in to lexoffice")).to_be_visible()
    expect(view.box).to_have_accessible_description(BOX["hint"])


def test_status_line_is_the_same_element_in_every_state_so_that_it_is_announced(view):
    view.mount()
    expect(view.status).to_have_count(1)
    view.page.evaluate("window.line = document.querySelector('[role=status]')")
    for one in (card(1), signed_in(2), card(3, state="failed", status={"icon": "error", "text": "Refused"})):
        view.show(one)
        expect(view.status).to_have_text(one["status"]["text"])
        assert view.page.evaluate("line === document.querySelector('[role=status]') && line.isConnected")
    assert view.status.get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("name", ["waiting", "busy", "ok", "warn", "error"])
def test_every_state_has_an_icon_and_a_word(view, name):
    view.mount(card(status={"icon": name, "text": "A word"}))
    expect(view.page.locator(f".lxo-state svg.lxo-icon-{name}[aria-hidden=true]")).to_be_visible()
    expect(view.status).to_have_text("A word")


def test_scopes_are_marked_with_words_too(view):
    view.mount(card())
    items = view.page.get_by_role("listitem").filter(has_text="see your")
    assert items.all_text_contents() == [
        "see your invoices invoice.read granted",
        "see your contacts contact.read not granted",
        "see your profile profile asked",
    ]


def test_problem_says_what_happened_and_what_to_do_next(view):
    view.mount(card(problem={"what": "Invalid state parameter", "next": "Start again."}, link=None, actions=[AGAIN]))
    expect(view.page.get_by_text("Invalid state parameter")).to_be_visible()
    expect(view.page.get_by_text("Start again.")).to_be_visible()
    expect(view.page.get_by_role("alert")).to_have_count(0)  # the status line announces


def test_hostile_texts_are_shown_literally(view):
    evil = "<img src=x onerror='window.hit=1'><a href='https://evil.example'>x</a> https://evil.example"
    view.mount(
        card(
            title=evil,
            status={"icon": evil, "text": evil},
            rows=[{"label": evil, "value": evil, "mono": True}, {"label": "Company", "value": evil, "strong": True}],
            scopes={"label": evil, "items": [{"text": evil, "name": evil, "mark": "constructor"}]},
            link=dict.fromkeys(LINK, evil) | {"href": HREF},
            box=dict.fromkeys(BOX, evil) | {"kind": "callback"},
            problem={"what": evil, "next": evil},
            notes=[evil],
            actions=[{"name": evil, "label": evil, "primary": False}],
        )
    )
    expect(view.page.get_by_text(evil, exact=True).first).to_be_visible()
    assert view.page.locator("#here img").count() == 0
    assert view.page.locator("#here a").count() == 1
    assert view.page.evaluate("window.hit") is None
    expect(view.status).to_have_text(evil)


@pytest.mark.parametrize("name", sorted(path.name for path in NOTEBOOK.glob("*.js")))
def test_no_javascript_writes_markup(name):
    source = (NOTEBOOK / name).read_text()
    assert not [name for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(") if name in source]


def test_stale_card_is_ignored(view):
    view.mount(signed_in(7), card(6))
    expect(view.status).to_have_text("Signed in")
    expect(view.link).to_have_count(0)


@pytest.mark.parametrize(
    "message", [None, "card", {}, {"kind": "other"}, {"kind": "card"}, {"kind": "card", "version": "9"}]
)
def test_message_of_unknown_kind_changes_nothing(view, message):
    view.mount(card())
    before = view.page.inner_html("#here")
    view.show(message)
    assert view.page.inner_html("#here") == before


# The link


@pytest.mark.case("statement/11-system-browser")
def test_link_opens_in_a_new_page_that_knows_no_opener(view):
    view.mount(card())
    assert view.link.get_attribute("href") == HREF
    assert view.link.get_attribute("target") == "_blank"
    assert view.link.get_attribute("rel") == "noopener noreferrer"


@pytest.mark.case("statement/11-system-browser")
def test_click_on_the_link_is_told_to_python_and_opens_it(view, context):
    view.mount(card(link=LINK | {"href": "http://127.0.0.1/theme.css"}))
    with context.expect_page() as opened:
        view.link.click()
    assert opened.value.evaluate("window.opener") is None
    assert len(view.sent("opened")) == 1


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)//https://login.example",
        " java\nscript:alert(1)",
        "data:text/html,<p>sign in</p>",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://evil.example/",
        "http://localhost:80@evil.example/",
        "http://127.0.0.1.evil.com/",
        "http://localhost.evil.com/",
        "http://evillocalhost/",
        "http://1270.0.0.1/",
        "http://128.0.0.1/",
        "http://[::2]/",
        "http://0.0.0.0/",
        "https://user@login.example/",
        "https://login.example@evil.example/",
        "https://:secret@login.example/",
        "//login.example/",
        "/authorize",
        "",
        None,
        7,
    ],
)
@pytest.mark.case("statement/14-https")
def test_address_that_is_neither_https_nor_loopback_becomes_no_link(view, href):
    view.mount(card(link=LINK | {"href": href}))
    expect(view.page.get_by_text("No login link is shown")).to_be_visible()
    expect(view.link).to_have_count(0)
    expect(view.copy).to_have_count(0)
    expect(view.box).to_be_visible()


def test_link_that_turns_bad_is_taken_away(view):
    view.mount(card(1), card(2, link=LINK | {"href": "javascript:alert(1)"}))
    assert view.page.locator("a").count() == 0
    view.show(card(3))
    expect(view.link).to_have_attribute("href", HREF)
    expect(view.page.get_by_text("No login link is shown")).to_have_count(0)


@pytest.mark.parametrize(
    ("href", "host"),
    [
        ("https://login.example/a", "login.example"),
        ("https://LOGIN.example:8443/a", "login.example:8443"),
        ("https://login.example:443/a", "login.example"),
        ("https://lexоffice.example/", "xn--lexffice-pbh.example"),  # a Cyrillic о
        ("https://login.example\\@evil.example/", "login.example"),
        ("https://login.example\t.evil.example/", "login.example.evil.example"),
        ("http://localhost:8766/a", "localhost:8766"),
        ("http://127.0.0.1:8766/a", "127.0.0.1:8766"),
        ("http://127.1:8766/a", "127.0.0.1:8766"),
        ("http://[::1]:8766/a", "[::1]:8766"),
    ],
)
@pytest.mark.case("statement/13-host")
def test_host_beside_the_link_is_the_one_the_link_opens(view, href, host):
    view.mount(card(link=LINK | {"href": href}))
    shown = view.page.locator(".lxo-host")
    expect(shown).to_have_text(host)
    assert view.page.evaluate("new URL(document.querySelector('#here a').href).host") == host
    assert "mono" in shown.evaluate("node => getComputedStyle(node).fontFamily")


def test_host_follows_a_changed_link(view):
    view.mount(card(1), card(2, link=LINK | {"href": "https://other.example/"}))
    expect(view.page.locator(".lxo-host")).to_have_text("other.example")


def test_copy_button_copies_the_link_and_says_so(view):
    view.mount(card())
    view.copy.click()
    expect(view.page.get_by_text("Copied")).to_be_visible()
    assert view.page.evaluate("navigator.clipboard.readText()") == HREF
    assert len(view.sent("copied")) == 1
    expect(view.copy).to_be_visible()  # its name has not changed


def test_copying_works_where_pages_have_no_clipboard(view):
    """JupyterLab over plain http to another machine has no navigator.clipboard."""
    view.mount(card())
    view.page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    view.copy.click()
    expect(view.page.get_by_text("Copied")).to_be_visible()
    expect(view.page.get_by_role("textbox")).to_have_count(1)
    expect(view.copy).to_be_focused()
    view.box.focus()
    view.page.keyboard.press("Control+V")
    assert view.sent("callback")[0]["text"] == HREF


def test_refused_clipboard_leaves_the_link_selected(view):
    view.mount(card())
    view.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')) }")
    view.page.evaluate("() => { document.execCommand = () => false }")
    view.copy.click()
    field = view.page.get_by_role("textbox", name="Select the link and copy it")
    expect(field).to_have_value(HREF)
    expect(field).to_be_focused()
    assert field.evaluate("node => node.value.slice(node.selectionStart, node.selectionEnd)") == HREF
    assert view.sent("copied") == []
    view.show(signed_in())
    expect(field).to_have_count(0)


# The box


def test_paste_is_sent_at_once_and_never_becomes_the_value_of_the_box(view):
    view.mount(card())
    view.page.evaluate("text => navigator.clipboard.writeText(text)", CALLBACK)
    view.page.evaluate("window.seen = []; document.addEventListener('input', (e) => seen.push(e.target.value), true)")
    view.box.focus()
    view.page.keyboard.press("Control+V")
    assert view.sent("callback") == [{"kind": "callback", "text": CALLBACK, "held": [""]}]
    assert view.page.evaluate("seen") == []
    expect(view.box).to_have_value("")
    expect(view.page.get_by_text("Callback received")).to_be_visible()


def test_typed_text_is_taken_with_enter_out_of_an_emptied_box(view):
    view.mount(card())
    view.box.press_sequentially(CALLBACK)
    assert view.sent("callback") == []
    view.page.keyboard.press("Enter")
    assert view.sent("callback") == [{"kind": "callback", "text": CALLBACK, "held": [""]}]
    expect(view.box).to_have_value("")


def test_dropped_text_is_taken_like_a_paste(view):
    view.mount(card())
    view.page.evaluate(
        """text => {
            const before = document.getElementById("before");
            before.draggable = true;
            before.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", text));
        }""",
        CALLBACK,
    )
    view.page.drag_and_drop("#before", "#here input")
    assert view.sent("callback") == [{"kind": "callback", "text": CALLBACK, "held": [""]}]
    assert view.page.evaluate("leaked") == []
    expect(view.box).to_have_value("")


def test_paste_without_a_usable_event_is_taken_from_the_box(view):
    """Some hosts paste by a command of their own, and the page sees an input event only."""
    view.mount(card())
    view.box.evaluate(
        """(node, text) => {
            node.value = text;
            node.dispatchEvent(new InputEvent("input", { inputType: "insertFromPaste", bubbles: true }));
        }""",
        CALLBACK,
    )
    assert view.sent("callback") == [{"kind": "callback", "text": CALLBACK, "held": [""]}]


def test_nothing_is_sent_too_so_that_python_can_explain_it(view):
    view.mount(card())
    view.box.press("Enter")
    assert view.sent("callback") == [{"kind": "callback", "text": "", "held": [""]}]
    expect(view.page.get_by_text("Callback received")).to_have_count(0)


def test_what_is_too_long_is_not_sent(view):
    view.mount(card())
    view.page.evaluate("text => navigator.clipboard.writeText(text)", "x" * 16001)
    view.box.focus()
    view.page.keyboard.press("Control+V")
    expect(view.page.get_by_text("That is too long for a callback URL")).to_be_visible()
    expect(view.box).to_have_value("")
    assert view.sent("callback") == []
    view.page.evaluate("text => navigator.clipboard.writeText(text)", "x" * 16000)
    view.page.keyboard.press("Control+V")
    assert len(view.sent("callback")) == 1


def test_api_key_is_masked_sent_as_a_key_and_is_no_password_field(view):
    view.mount(card(state="key", link=None, box=BOX | {"kind": "key", "label": "API key", "primary": True}))
    box = view.page.get_by_role("textbox", name="API key")
    box.press_sequentially("planted-key")
    assert box.evaluate("node => getComputedStyle(node).webkitTextSecurity") == "disc"
    assert box.get_attribute("type") == "text"
    box.press("Enter")
    assert view.sent("key") == [{"kind": "key", "text": "planted-key", "held": [""]}]


def test_browser_neither_completes_nor_checks_what_is_typed(view):
    view.mount(card())
    for name, value in {"type": "text", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}.items():
        expect(view.box).to_have_attribute(name, value)
    expect(view.page.locator("[data-lm-suppress-shortcuts=true]").filter(has=view.box)).to_have_count(1)


def test_keys_in_the_box_do_not_reach_the_notebook_but_escape_does(view):
    view.mount(card())
    view.page.evaluate("text => navigator.clipboard.writeText(text)", CALLBACK)
    view.box.press_sequentially("dd")
    view.page.keyboard.press("Enter")
    view.page.keyboard.press("Control+V")
    assert view.page.evaluate("leaked") == []
    view.box.press_sequentially("x")
    view.page.keyboard.press("Escape")
    assert set(view.page.evaluate("leaked")) == {"Escape"}
    expect(view.box).to_have_value("")


def test_box_is_emptied_when_the_state_changes_and_removed_when_there_is_none(view):
    view.mount(card())
    view.box.fill("half typed")
    view.show(card(2, state="failed"))
    expect(view.box).to_have_value("")
    view.show(signed_in(3))
    expect(view.page.get_by_role("textbox")).to_have_count(0)


def test_box_of_another_kind_is_another_box(view):
    view.mount(card())
    view.box.fill("half typed")
    view.show(card(2, box=BOX | {"kind": "key", "label": "API key"}))
    expect(view.page.get_by_role("textbox")).to_have_count(1)
    expect(view.page.get_by_role("textbox", name="API key")).to_have_value("")


# Focus and keys


def test_new_card_of_the_same_state_leaves_focus_and_typed_text_alone(view):
    view.mount(card())
    view.box.press_sequentially("half typed")
    view.show(card(2, problem={"what": "Refused", "next": ""}, box=BOX | {"hint": "Another hint"}, notes=[], rows=[]))
    expect(view.box).to_have_value("half typed")
    expect(view.box).to_be_focused()
    view.page.keyboard.type("!")
    expect(view.box).to_have_value("half typed!")


@pytest.mark.parametrize("focus", ["link", "copy", "box"])
def test_focus_goes_to_the_heading_when_its_element_goes_away(view, focus):
    view.mount(card())
    getattr(view, focus).focus()
    view.show(signed_in())
    expect(view.page.get_by_role("heading", name="Signed in to lexoffice")).to_be_focused()


def test_focus_elsewhere_is_not_taken(view):
    view.mount(card())
    view.page.locator("#before").focus()
    view.show(signed_in())
    assert view.focused() == "before"


def test_focused_link_and_button_keep_the_focus_over_a_new_card(view):
    view.mount(card(actions=[AGAIN]))
    for element in (view.link, view.copy, view.page.get_by_role("button", name="Try again")):
        element.focus()
        version = view.page.evaluate("window.version = (window.version ?? 1) + 1")
        other = {"name": "other", "label": f"Other {version}", "primary": False}
        view.show(card(version, link=LINK | {"href": f"https://login.example/{version}"}, actions=[AGAIN, other]))
        expect(element).to_be_focused()
        expect(view.page.get_by_role("button", name=f"Other {version}")).to_be_visible()


def test_whole_card_works_by_keyboard_alone(view, context):
    view.mount(card(link=LINK | {"href": "http://127.0.0.1/theme.css"}, actions=[AGAIN]))
    view.page.locator("#before").focus()
    view.page.keyboard.press("Tab")
    expect(view.link).to_be_focused()
    with context.expect_page() as opened:
        view.page.keyboard.press("Enter")
    opened.value.close()
    view.page.bring_to_front()
    view.page.keyboard.press("Tab")
    expect(view.copy).to_be_focused()
    view.page.keyboard.press("Space")
    view.page.keyboard.press("Tab")
    view.page.keyboard.press("Enter")
    view.page.keyboard.press("Tab")
    expect(view.box).to_be_focused()
    view.page.keyboard.type(CALLBACK)
    view.page.keyboard.press("Enter")
    view.page.keyboard.press("Tab")
    assert view.focused() == "after"
    expect(view.page.get_by_text("Copied")).to_be_visible()
    assert {message["kind"] for message in view.sent()} == {"hello", "opened", "copied", "action", "callback"}


def test_shortcuts_of_the_notebook_are_off_at_every_element_that_takes_keys(view):
    """In JupyterLab's command mode Enter edits the cell; on a link it has to open the link."""
    view.mount(card(actions=[AGAIN]))
    assert (
        view.page.evaluate(
            """[...document.querySelectorAll("#here :is(a, button, input)")].map(
            (node) => Boolean(node.closest("[data-lm-suppress-shortcuts=true]")))"""
        )
        == [True] * 4
    )


def test_double_click_on_an_action_is_one_wish(view):
    view.mount(card(actions=[AGAIN]))
    view.page.get_by_role("button", name="Try again").dblclick()
    assert [message["name"] for message in view.sent("action")] == ["again"]
    view.show(card(2, actions=[AGAIN]))
    view.page.get_by_role("button", name="Try again").click()
    assert len(view.sent("action")) == 2


# With and without a kernel


def test_card_says_hello_with_the_browsers_language(view):
    view.mount()
    assert [(message["kind"], message["lang"]) for message in view.sent()] == [("hello", "en-GB")]


def test_language_of_jupyterlab_counts_before_the_browsers(view):
    view.page.evaluate("document.documentElement.lang = 'de_DE'")
    view.mount()
    assert view.sent()[0]["lang"] == "de-DE"
    expect(view.status).to_have_text("Verbindung zum Kernel wird aufgebaut …")


def test_hello_is_repeated_until_a_card_comes(timed):
    timed.mount()
    counts = []
    for seconds in (0, 1, 1, 3, 5, 60):
        timed.page.clock.run_for(seconds * 1000)
        counts.append(len(timed.sent("hello")))
    assert counts == [1, 1, 2, 3, 4, 4]


def test_hello_is_not_repeated_after_an_answer(timed):
    timed.mount(card())
    timed.page.clock.run_for(60_000)
    assert len(timed.sent("hello")) == 1
    expect(timed.link).to_be_visible()


def test_card_without_a_kernel_has_one_sentence_no_link_and_no_box(timed):
    timed.mount()
    expect(timed.status).to_have_text("Connecting to the kernel…")
    timed.page.clock.run_for(3100)
    sentence = "This card is not connected to a running kernel. Run the cell again."
    expect(timed.status).to_have_text(sentence)
    assert timed.page.inner_text("#here").strip() == sentence
    assert timed.page.locator("#here :is(a, input, button)").count() == 0
    timed.show(card())
    expect(timed.link).to_be_visible()
    expect(timed.box).to_be_visible()


def test_card_without_a_comm_says_so_at_once(view):
    view.disconnect()
    view.mount()
    expect(view.status).to_contain_text("not connected to a running kernel")


@pytest.mark.parametrize("way", ["paste", "link", "action"])
def test_kernel_found_gone_while_sending_takes_link_and_box_away(view, way):
    view.mount(card(actions=[AGAIN]))
    view.disconnect()
    {"paste": view.box, "link": view.copy, "action": view.page.get_by_role("button", name="Try again")}[way].press(
        "Enter"
    )
    expect(view.status).to_contain_text("not connected to a running kernel")
    assert view.page.locator("#here :is(a, input, button)").count() == 0
    assert view.page.evaluate("document.querySelector('.lxo-card').contains(document.activeElement)")


@pytest.mark.parametrize("event", ["comm:close", "comm_live_update"])
def test_kernel_that_restarts_takes_link_and_box_away_unless_it_answers(timed, event):
    timed.mount(card())
    timed.page.evaluate("event => model.emit(event)", event)
    assert len(timed.sent("hello")) == 2
    expect(timed.link).to_be_visible()
    timed.page.clock.run_for(3100)
    expect(timed.status).to_contain_text("not connected to a running kernel")
    assert timed.page.locator("#here :is(a, input, button)").count() == 0
    timed.show(card())  # the same version: an answer to hello
    expect(timed.link).to_be_visible()


def test_callback_without_an_answer_gets_a_quiet_hint_and_keeps_the_box(timed):
    timed.mount(card())
    timed.box.press_sequentially(CALLBACK)
    timed.page.keyboard.press("Enter")
    timed.page.clock.run_for(7900)
    hint = timed.page.get_by_text("No answer from the kernel yet")
    expect(hint).to_have_count(0)
    timed.page.clock.run_for(200)
    expect(hint).to_be_visible()
    expect(timed.box).to_be_visible()
    timed.show(card(2))
    expect(hint).to_have_count(0)


def test_callback_with_an_answer_gets_no_hint(timed):
    timed.mount(card())
    timed.box.press("Enter")
    timed.show(card(2))
    timed.page.clock.run_for(60_000)
    expect(timed.page.get_by_text("No answer from the kernel yet")).to_have_count(0)


def test_views_of_one_model_are_independent(view):
    view.mount()
    view.mount(card())
    expect(view.link).to_have_count(2)
    view.box.nth(0).fill("in the first")
    expect(view.box.nth(1)).to_have_value("")
    view.page.evaluate("cleanups[0]()")
    expect(view.link).to_have_count(1)
    view.show(signed_in())
    expect(view.status).to_have_text("Signed in")


def test_cleanup_leaves_no_listener_no_timer_and_no_element(view):
    view.page.evaluate(
        """() => {
            const [start, stop] = [setTimeout, clearTimeout];
            window.running = new Set();
            window.setTimeout = (...wanted) => { const id = start(...wanted); running.add(id); return id; };
            window.clearTimeout = (id) => { running.delete(id); stop(id); };
        }"""
    )
    view.mount()
    assert view.page.evaluate("running.size") == 4  # three more hellos, and the sentence when none is answered
    view.page.evaluate("cleanups[0]()")
    view.mount(card())
    view.box.press("Enter")
    view.copy.click()
    expect(view.page.get_by_text("Copied")).to_be_visible()
    assert view.page.evaluate("running.size") == 2  # until the hint about no answer, and until "Copied" goes
    view.page.evaluate("cleanups[1]()")
    assert view.page.evaluate("running.size") == 0
    assert view.page.evaluate("[...model.listeners.values()].flat().length") == 0
    assert view.page.inner_text("#here").strip() == ""


# What it looks like

CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const paint = (colours) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (node) => node ? [...behind(node.parentElement), getComputedStyle(node).backgroundColor] : ["white"];
    const contrast = (colour, node) => {
        const [light, dark] = [luminance(paint(behind(node))), luminance(paint([...behind(node), colour]))]
            .sort((a, b) => b - a);
        return (light + 0.05) / (dark + 0.05);
    };
    const found = [];
    for (const node of document.querySelectorAll("#here *")) {
        const text = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.data).join("");
        if (text.trim()) found.push([text, contrast(getComputedStyle(node).color, node)]);
        const hint = node.placeholder;
        if (hint) found.push([hint, contrast(getComputedStyle(node, "::placeholder").color, node)]);
    }
    return found;
}"""


def theme_css(name):
    return (
        (THEMES / f"theme-{name}-extension/index.css").read_text()
        if name in ("light", "dark", "dark-high-contrast")
        else ""
    )


@pytest.mark.parametrize("theme", ["light", "dark", "dark-high-contrast", "none, light", "none, dark"])
def test_every_text_has_the_contrast_of_wcag_aa(view, theme):
    view.open(theme_css(theme), color_scheme="dark" if "dark" in theme else "light")
    view.mount(card(problem={"what": "What happened", "next": "What to do"}, actions=[AGAIN, AGAIN | {"name": "b"}]))
    measured = view.page.evaluate(CONTRASTS)
    assert {text for text, _ in measured} >= {"Open login page", "What to do", BOX["placeholder"], "invoice.read"}
    assert [(text, round(ratio, 2)) for text, ratio in measured if ratio < 4.5] == []


@pytest.mark.parametrize("theme", ["light", "dark", "dark-high-contrast"])
def test_focus_is_visible_and_stands_out(view, theme):
    view.open(theme_css(theme)).mount(card(actions=[AGAIN]))
    view.page.locator("#before").focus()
    for _ in range(4):
        view.page.keyboard.press("Tab")
        ring = view.page.evaluate(
            """(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])(
                getComputedStyle(document.activeElement))"""
        )
        assert ring == ["solid", "2px"]


LONG = "Rechnungsempfängeradressverwaltungsgesellschaft-mbH-und-Compagnie-Kommanditgesellschaft"


@pytest.mark.parametrize("width", [320, 640, 1200])
def test_card_keeps_to_its_column(view, width):
    view.open(theme_css("light"), width)
    long_link = LINK | {"href": f"https://{'anmeldung.' * 12}example/", "label": "Anmeldeseite im Browser öffnen"}
    rows = [{"label": LONG, "value": LONG, "mono": True}, {"label": "Firma", "value": LONG, "strong": True}]
    view.mount(card(lang="de", rows=rows, link=long_link, notes=[LONG], title=LONG))
    assert view.page.evaluate("document.documentElement.scrollWidth") <= width
    edges = view.page.evaluate(
        """[...document.querySelectorAll("#here .lxo-card *")]
            .filter((node) => node.tagName !== "INPUT" && getComputedStyle(node).display !== "inline")
            .filter((node) => node.clientWidth > 1 && node.scrollWidth > node.clientWidth + 1)
            .map((node) => node.className)"""
    )
    assert edges == []
    assert view.page.locator(".lxo-card").bounding_box()["width"] <= 640


def test_styles_of_jupyterlab_leave_the_card_alone(view):
    view.mount(card(rows=[{"label": "A label of four words", "value": "a value"}]))
    label, value = (view.page.locator(f"#here {tag}").first.bounding_box() for tag in ("dt", "dd"))
    assert label["height"] == value["height"] < 30  # one line
    assert value["x"] == label["x"] + label["width"] + 20
    view.link.hover()
    expect(view.link).to_have_css("color", "rgb(255, 255, 255)")
    expect(view.copy).to_have_css("border-radius", "4px")


def test_nothing_moves_for_people_who_asked_for_that(view):
    moving = {}
    for motion in ("reduce", "no-preference"):
        view.open(reduced_motion=motion).mount(card(status={"icon": "busy", "text": "Getting the tokens"}))
        moving[motion] = view.page.evaluate("document.getAnimations().length")
    assert moving == {"reduce": 0, "no-preference": 1}
