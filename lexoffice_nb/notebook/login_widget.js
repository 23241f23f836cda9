/**
 * The sign-in card: the view of one login. The only link there can be is the one that `safeUrl` let through.
 */

const COPIED_FOR = 4000; // ms
const KINDS = ["callback", "key", "client_secret"]; // of what a box takes
const LONGEST_PASTE = 16000; // characters; Python ignores messages over 16 KiB

// What this page alone can say; all other words come with the card.
const TEXTS = {
  en: {
    badLink: "No login link is shown, because its address is neither https nor on this computer.",
    scope: { asked: "asked", granted: "granted", refused: "not granted" },
  },
  de: {
    badLink: "Es wird kein Anmeldelink gezeigt, denn seine Adresse ist weder https noch auf diesem Rechner.",
    scope: { asked: "angefragt", granted: "erlaubt", refused: "nicht erlaubt" },
  },
};

/** The URL if it may become a link: https, or http to this very computer, and nobody's name in front of the host. */
function safeUrl(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  if (url.username || url.password) return null;
  if (url.protocol === "https:") return url;
  // The parser has already normalised the host, so 127.1 is 127.0.0.1 here and 127.0.0.1.evil.com is a name.
  const loopback = /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/.test(url.hostname);
  return url.protocol === "http:" && loopback ? url : null;
}

/** The login link, the host it leads to, and the button that copies it. */
class LoginLink {
  constructor(send) {
    this.send = send;
    this.anchor = element("a", { class: "lxo-button lxo-primary", target: "_blank", rel: "noopener noreferrer" });
    this.label = element("span");
    this.anchor.append(this.label, icon("out"));
    this.copy = element("button", { class: "lxo-button", type: "button" });
    this.copyLabel = element("span");
    this.copy.append(icon("copy"), this.copyLabel);
    this.said = element("span", { class: "lxo-said", "aria-live": "polite" });
    this.hostLabel = element("span", { class: "lxo-quiet" });
    this.host = element("span", { class: "lxo-mono lxo-host" });
    this.byHand = element("div", { class: "lxo-by-hand" });
    this.node = element("div", ownKeys({ class: "lxo-link" }),
      element("div", { class: "lxo-buttons" }, this.anchor, this.copy, this.said),
      element("p", { class: "lxo-leads" }, this.hostLabel, " ", this.host),
      this.byHand);
    this.anchor.addEventListener("click", () => this.send({ kind: "opened" }));
    this.anchor.addEventListener("auxclick", (event) => event.button === 1 && this.send({ kind: "opened" }));
    this.copy.addEventListener("click", () => this.copyLink());
  }

  update(link) {
    this.texts = link;
    if (this.anchor.href !== link.url.href) {
      this.anchor.href = link.url.href;
      this.clearSaid();
    }
    setText(this.label, link.label);
    setText(this.copyLabel, link.copy);
    setText(this.hostLabel, link.host_label);
    setText(this.host, new URL(this.anchor.href).host); // of the very link that opens, never from a message
  }

  async copyLink() {
    this.clearSaid();
    const href = this.anchor.href;
    try {
      await navigator.clipboard.writeText(href);
    } catch {
      // No clipboard for pages over plain http, and people may refuse it.
      if (!this.copySelected(href)) return;
    }
    if (!this.node.isConnected) return; // gone while the clipboard was asked
    this.said.replaceChildren(icon("granted"), this.texts.copied ?? "");
    this.timer = setTimeout(() => this.clearSaid(), COPIED_FOR);
    this.send({ kind: "copied" });
  }

  /** The old way; when that is refused too, the selected link stays for the person's own Ctrl+C. */
  copySelected(href) {
    const field = element("input", {
      type: "text", class: "lxo-input lxo-mono", readonly: "", "aria-label": this.texts.copy_failed ?? "",
    });
    field.value = href;
    this.byHand.replaceChildren(field);
    field.focus();
    field.select();
    let copied = false;
    try {
      copied = document.execCommand("copy");
    } catch {
      // refused: the field stays
    }
    if (copied) {
      this.byHand.replaceChildren();
      this.copy.focus();
    } else {
      this.said.replaceChildren(this.texts.copy_failed ?? "");
    }
    return copied;
  }

  clearSaid() {
    clearTimeout(this.timer);
    this.said.replaceChildren();
    this.byHand.replaceChildren();
  }
}

/**
 * The box for a callback URL or an API key. What goes in is sent once and kept nowhere: a paste never becomes the
 * input's value, and typed text is taken out of it before it is sent.
 */
class PasteBox {
  constructor(kind, deliver) {
    this.kind = kind;
    this.deliver = deliver;
    const id = `lxo-${Math.random().toString(36).slice(2)}`;
    // A key and a secret are masked by CSS and not by type=password: browsers offer to store what a password field held.
    this.input = element("input", {
      id, type: "text", class: kind === "callback" ? "lxo-input lxo-mono" : "lxo-input lxo-mono lxo-masked",
      autocomplete: "off", autocapitalize: "off", autocorrect: "off", spellcheck: "false", writingsuggestions: "false",
      enterkeyhint: "send", "aria-describedby": `${id}-hint`,
    });
    this.label = element("label", { class: "lxo-label", for: id });
    this.hint = element("p", { class: "lxo-quiet lxo-hint", id: `${id}-hint` });
    this.said = element("p", { class: "lxo-said", "aria-live": "polite" });
    this.node = element("div", ownKeys({ class: "lxo-box" }), this.label, this.hint, this.input, this.said);
    this.listen();
  }

  listen() {
    for (const name of ["keydown", "keyup", "keypress"]) {
      this.node.addEventListener(name, (event) => {
        if (event.key !== "Escape") event.stopPropagation(); // Escape may lead out of the box
      });
    }
    this.input.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") this.empty();
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.take(this.input.value);
    });
    this.input.addEventListener("paste", (event) => this.takeTransfer(event, event.clipboardData));
    this.input.addEventListener("drop", (event) => this.takeTransfer(event, event.dataTransfer));
    // Hosts that paste without an event of their own, or with one that carries nothing.
    this.input.addEventListener("input", (event) => {
      if (event.inputType === "insertFromPaste" || event.inputType === "insertFromDrop") this.take(this.input.value);
    });
  }

  takeTransfer(event, transfer) {
    event.stopPropagation();
    if (!transfer) return;
    event.preventDefault();
    this.take(transfer.getData("text/plain") || transfer.getData("text/uri-list"));
  }

  take(text) {
    this.empty();
    if (text.length > LONGEST_PASTE) this.say("warn", this.texts.too_long);
    else if (this.deliver({ kind: this.kind, text })) this.say("granted", text ? this.texts.sent : "");
  }

  update(box) {
    this.texts = box;
    this.node.classList.toggle("lxo-box-primary", Boolean(box.primary));
    setText(this.label, box.label);
    setText(this.hint, box.hint);
    this.input.setAttribute("placeholder", box.placeholder ?? "");
  }

  say(mark, text) {
    this.said.replaceChildren(...(text ? [icon(mark), text] : []));
  }

  empty() {
    this.input.value = "";
  }
}

/** The tick with which a person stays signed in. Python says where and until when, before anything is kept. */
class Remember {
  constructor(send) {
    const id = `lxo-${Math.random().toString(36).slice(2)}`;
    this.input = element("input", { id, type: "checkbox", class: "lxo-tick", "aria-describedby": `${id}-hint` });
    this.label = element("label", { class: "lxo-tick-label", for: id });
    this.hint = element("p", { class: "lxo-quiet lxo-hint lxo-tick-hint", id: `${id}-hint`, "aria-live": "polite" });
    this.node = element("div", ownKeys({ class: "lxo-remember" }),
      element("div", { class: "lxo-tick-row" }, this.input, this.label), this.hint);
    for (const name of ["keydown", "keyup", "keypress"]) {
      this.node.addEventListener(name, (event) => event.key !== "Escape" && event.stopPropagation());
    }
    this.input.addEventListener("change", () => send({ kind: "remember", on: this.input.checked }));
  }

  update(remember) {
    this.input.checked = Boolean(remember.on);
    setText(this.label, remember.label);
    setText(this.hint, remember.hint);
  }
}

/** One view of one login. */
class SignInCard extends Card {
  constructor(model, el) {
    super(model, el, "card");
  }

  parts() {
    this.linkPlace = element("div", { class: "lxo-place" });
    this.rememberPlace = element("div", { class: "lxo-place" });
    this.boxPlace = element("div", { class: "lxo-place" });
    return [this.problem, this.facts, this.linkPlace, this.actions, this.rememberPlace, this.boxPlace, this.notes, this.unanswered];
  }

  greeting() {
    return { kind: "hello", lang: preferredLanguage() };
  }

  noAnswer() {
    return this.texts?.disconnected ?? WITHOUT_KERNEL[this.language].disconnected;
  }

  close() {
    this.link?.clearSaid();
    this.box?.empty();
    super.close();
  }

  take(message) {
    this.answered();
    if (message.version > this.version) this.box?.say();
  }

  drawParts(card) {
    if (card.state !== this.state) this.box?.empty();
    this.texts = card.texts;
    this.drawPart(this.facts, { rows: card.rows ?? [], scopes: card.scopes, words: this.language }, drawFacts);
    this.drawLink(card);
    this.drawOwn("remember", this.rememberPlace, card.remember, () => new Remember(this.send));
    this.drawBox(card.box);
  }

  drawLink({ link, problem }) {
    const url = link ? safeUrl(link.href) : null;
    if (!url) this.link?.clearSaid();
    this.drawOwn("link", this.linkPlace, url && { ...link, url }, () => new LoginLink(this.send));
    const refused = link && !url ? { what: TEXTS[this.language].badLink } : null;
    this.drawPart(this.problem, [problem, refused].filter(Boolean), (problems) => problems.flatMap(drawProblem));
  }

  drawBox(box) {
    if (this.box && this.box.kind !== box?.kind) {
      this.box.empty();
      this.drawOwn("box", this.boxPlace, null);
    }
    const kind = KINDS.includes(box?.kind) ? box.kind : "callback";
    this.drawOwn("box", this.boxPlace, box, () => new PasteBox(kind, (message) => this.ask(message)));
  }
}

function drawFacts({ rows, scopes, words }) {
  const facts = rows.map(drawFact);
  if (!scopes) return facts;
  const items = (scopes.items ?? []).map((scope) => {
    const mark = Object.hasOwn(TEXTS.en.scope, scope.mark) ? scope.mark : "asked";
    const word = element("span", { class: mark === "refused" ? "lxo-word" : "lxo-unseen" }, TEXTS[words].scope[mark]);
    return element("li", { class: `lxo-scope lxo-scope-${mark}` }, icon(mark),
      element("span", {}, element("span", { class: "lxo-scope-text" }, String(scope.text ?? "")), " ",
        element("span", { class: "lxo-mono lxo-quiet" }, String(scope.name ?? "")), " ", word));
  });
  facts.push(element("div", { class: "lxo-fact lxo-fact-scopes" },
    element("dt", { class: "lxo-term" }, String(scopes.label ?? "")),
    element("dd", { class: "lxo-value" }, element("ul", { class: "lxo-scopes" }, ...items))));
  return facts;
}

export default view(SignInCard);
