/**
 * The sign-in card: the view of one login, drawn from one message.
 *
 * Everything travels as custom messages, because synced traits are kept in the notebook file and echoed to every client
 * of the kernel. Python always sends the whole card; what did not change stays in place, so that focus and half-typed
 * text survive. Texts become text nodes, never markup, and the only link there can be is the one `safeUrl` let through.
 */

const HELLO_AFTER = [2000, 5000, 10000]; // ms; a kernel busy with a cell answers late
const DISCONNECTED_AFTER = 3000;
const UNANSWERED_AFTER = 8000;
const COPIED_FOR = 4000;
const KINDS = ["callback", "key", "client_secret"]; // of what a box takes
const LONGEST_PASTE = 16000; // characters; Python ignores messages over 16 KiB

// Only what must be said without a kernel or about this page: all other words come with the card.
const TEXTS = {
  en: {
    connecting: "Connecting to the kernel…",
    disconnected: "This card is not connected to a running kernel. Run the cell again.",
    badLink: "No login link is shown, because its address is neither https nor on this computer.",
    scope: { asked: "asked", granted: "granted", refused: "not granted" },
  },
  de: {
    connecting: "Verbindung zum Kernel wird aufgebaut …",
    disconnected: "Diese Karte ist mit keinem laufenden Kernel verbunden. Führen Sie die Zelle noch einmal aus.",
    badLink: "Es wird kein Anmeldelink gezeigt, denn seine Adresse ist weder https noch auf diesem Rechner.",
    scope: { asked: "angefragt", granted: "erlaubt", refused: "nicht erlaubt" },
  },
};

// Shapes on a 16 × 16 grid, drawn as strokes in the colour of the text around them.
const ICONS = {
  waiting: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M8 4.5V8l2.25 1.75" }]],
  busy: [["circle", { cx: 8, cy: 8, r: 6.25, opacity: 0.25 }], ["path", { d: "M8 1.75A6.25 6.25 0 0 1 14.25 8" }]],
  ok: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M5 8.25 7.1 10.3 11 6" }]],
  warn: [["path", { d: "M8 2 14.5 13.5h-13z" }], ["path", { d: "M8 6.5v3.25M8 11.7v.05" }]],
  error: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M8 4.75v4M8 11.2v.05" }]],
  info: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M8 7.25v4M8 4.8v.05" }]],
  out: [["path", { d: "M9.5 2.5h4v4M13.25 2.75 7.5 8.5M6.5 3.5h-4v10h10v-4" }]],
  copy: [["path", { d: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" }]],
  asked: [["circle", { cx: 8, cy: 8, r: 2.5 }]],
  granted: [["path", { d: "M3 8.5 6.4 12 13 4.5" }]],
  refused: [["path", { d: "M4 4l8 8M12 4l-8 8" }]],
};

/** An element with attributes and children; strings become text nodes. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** An inline icon; decoration only, because a word always stands beside it. */
function icon(name) {
  const shape = Object.hasOwn(ICONS, name) ? name : "info";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `lxo-icon lxo-icon-${shape}`);
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  for (const [tag, attributes] of ICONS[shape]) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  }
  return svg;
}

/** Set a text only when it differs: a live region would be read out again. */
function setText(node, text) {
  if (node.textContent !== (text ?? "")) node.textContent = text ?? "";
}

/** Shortcuts of JupyterLab (Enter edits the cell, x cuts it) and its own context menu stay out of what is inside. */
function ownKeys(attributes) {
  return { ...attributes, "data-lm-suppress-shortcuts": "true", "data-jp-suppress-context-menu": "true" };
}

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

/** What the person asked for in JupyterLab, else in the browser. */
function preferredLanguage() {
  const page = document.documentElement.lang.replace("_", "-");
  return page && !/^en\b/i.test(page) ? page : navigator.language || "en";
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

  update(link, url) {
    this.texts = link;
    if (this.anchor.href !== url.href) {
      this.anchor.href = url.href;
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
class Card {
  constructor(model, el) {
    this.model = model;
    this.version = -Infinity;
    this.state = null;
    this.drawn = new Map(); // part -> the data it was drawn from
    this.buttons = new Map();
    this.timers = [];
    this.asked = null; // the action that was sent and is not yet answered
    this.language = /^de\b/i.test(preferredLanguage()) ? "de" : "en";
    this.send = this.send.bind(this);
    this.receive = this.receive.bind(this);
    this.hello = this.hello.bind(this);
    this.build(el);
  }

  build(el) {
    const id = `lxo-${Math.random().toString(36).slice(2)}`;
    this.title = element("h3", { class: "lxo-title", id });
    this.statusIcon = element("span", { class: "lxo-status-icon" });
    this.status = element("span", { role: "status", "aria-live": "polite" });
    this.problem = element("div", { class: "lxo-problem" });
    this.facts = element("dl", { class: "lxo-facts" });
    this.linkPlace = element("div", { class: "lxo-place" });
    this.actions = element("div", ownKeys({ class: "lxo-buttons" }));
    this.rememberPlace = element("div", { class: "lxo-place" });
    this.boxPlace = element("div", { class: "lxo-place" });
    this.notes = element("ul", { class: "lxo-notes" });
    this.unanswered = element("p", { class: "lxo-unanswered", "aria-live": "polite" });
    this.root = element("div", { class: "lxo-card", role: "group", "aria-labelledby": id },
      element("div", { class: "lxo-head" }, this.title, element("div", { class: "lxo-state" }, this.statusIcon, this.status)),
      this.problem, this.facts, this.linkPlace, this.actions, this.rememberPlace, this.boxPlace, this.notes, this.unanswered);
    el.append(this.root);
  }

  open() {
    this.model.on("msg:custom", this.receive);
    // Hosts built on ipywidgets tell when the comm goes, as it does when the kernel restarts: ask again who is there.
    this.model.on("comm:close", this.hello);
    this.model.on("comm_live_update", this.hello);
    this.draw({ state: "connecting", status: { icon: "busy", text: TEXTS[this.language].connecting } });
    this.hello();
  }

  close() {
    this.model.off("msg:custom", this.receive);
    this.model.off("comm:close", this.hello);
    this.model.off("comm_live_update", this.hello);
    this.stopTimers();
    clearTimeout(this.unansweredTimer);
    this.link?.clearSaid();
    this.box?.empty();
    this.closed = true;
    this.root.remove();
  }

  hello() {
    this.stopTimers();
    const message = { kind: "hello", lang: preferredLanguage() };
    for (const delay of HELLO_AFTER) this.timers.push(setTimeout(() => this.send(message), delay));
    this.timers.push(setTimeout(() => this.disconnect(), DISCONNECTED_AFTER));
    this.send(message);
  }

  stopTimers() {
    this.timers.forEach(clearTimeout);
    this.timers = [];
  }

  /** Send to Python; false when nobody is there. */
  send(message) {
    if (this.closed) return false;
    try {
      this.model.send(message);
      return true;
    } catch {
      this.disconnect();
      return false;
    }
  }

  /** Send what Python answers with a new card, and say so quietly when it does not. */
  ask(message) {
    clearTimeout(this.unansweredTimer);
    this.unansweredTimer = setTimeout(() => {
      this.asked = null;
      setText(this.unanswered, this.texts?.disconnected ?? TEXTS[this.language].disconnected);
    }, UNANSWERED_AFTER);
    return this.send(message);
  }

  act(name) {
    if (this.asked === name) return; // a double click is one wish
    this.asked = name;
    this.ask({ kind: "action", name });
  }

  receive(message) {
    if (message?.kind !== "card" || !Number.isFinite(message.version) || message.version < this.version) return;
    this.stopTimers();
    clearTimeout(this.unansweredTimer);
    this.asked = null;
    if (message.version > this.version) this.box?.say();
    this.version = message.version;
    this.draw(message);
  }

  /** Without a kernel there is nothing to sign in to: no link, no box, one sentence. */
  disconnect() {
    clearTimeout(this.unansweredTimer);
    this.draw({ state: "disconnected", status: { icon: "warn", text: TEXTS[this.language].disconnected } });
  }

  draw(card) {
    const page = this.root.getRootNode();
    const focused = this.root.contains(page.activeElement);
    if (card.lang) this.language = card.lang === "de" ? "de" : "en";
    if (card.state !== this.state) this.box?.empty();
    this.state = card.state;
    this.texts = card.texts;
    this.root.setAttribute("lang", this.language);
    this.root.setAttribute("data-state", card.state);
    this.title.hidden = !card.title;
    setText(this.title, card.title);
    this.drawPart(this.statusIcon, card.status?.icon, (name) => [icon(name)]);
    setText(this.status, card.status?.text);
    this.drawPart(this.facts, { rows: card.rows ?? [], scopes: card.scopes, words: this.language }, drawFacts);
    this.drawPart(this.notes, card.notes, drawNotes);
    this.drawLink(card);
    this.drawActions(card.actions ?? []);
    this.drawRemember(card.remember);
    this.drawBox(card.box);
    setText(this.unanswered, "");
    if (focused && !this.root.contains(page.activeElement)) {
      const next = card.title ? this.title : this.root;
      next.setAttribute("tabindex", "-1");
      next.focus({ preventScroll: true });
    }
  }

  /** Draw a part anew only if its data changed: selections, and what a screen reader is reading, stay. */
  drawPart(place, data, draw) {
    const key = JSON.stringify(data ?? null);
    if (this.drawn.get(place) === key) return;
    this.drawn.set(place, key);
    place.replaceChildren(...(data ? draw(data) : []));
  }

  drawLink({ link, problem }) {
    const url = link ? safeUrl(link.href) : null;
    if (url) {
      this.link ??= new LoginLink(this.send);
      this.link.update(link, url);
      if (!this.link.node.isConnected) this.linkPlace.append(this.link.node);
    } else {
      this.link?.clearSaid();
      this.link?.node.remove();
      this.link = null;
    }
    const refused = link && !url ? { what: TEXTS[this.language].badLink } : null;
    this.drawPart(this.problem, [problem, refused].filter(Boolean), (problems) => problems.flatMap(drawProblem));
  }

  drawActions(actions) {
    const nodes = actions.map((action) => {
      const known = this.buttons.get(action.name);
      const button = known ?? element("button", { type: "button" });
      if (!known) button.addEventListener("click", () => this.act(action.name));
      button.setAttribute("class", action.primary ? "lxo-button lxo-primary" : "lxo-button");
      setText(button, action.label);
      return [action.name, button];
    });
    this.buttons = new Map(nodes);
    const wanted = [...this.buttons.values()];
    // Moving a button would take its focus away, so nothing is touched while the same ones stand there.
    if (wanted.some((button, at) => this.actions.children[at] !== button) || this.actions.children.length > wanted.length) {
      this.actions.replaceChildren(...wanted);
    }
  }

  drawRemember(remember) {
    if (!remember) {
      this.remember?.node.remove();
      this.remember = null;
      return;
    }
    this.remember ??= new Remember(this.send);
    this.remember.update(remember);
    if (!this.remember.node.isConnected) this.rememberPlace.append(this.remember.node);
  }

  drawBox(box) {
    if (this.box && this.box.kind !== box?.kind) {
      this.box.empty();
      this.box.node.remove();
      this.box = null;
    }
    if (!box) return;
    this.box ??= new PasteBox(KINDS.includes(box.kind) ? box.kind : "callback", (message) => this.ask(message));
    this.box.update(box);
    if (!this.box.node.isConnected) this.boxPlace.append(this.box.node);
  }
}

function drawFacts({ rows, scopes, words }) {
  const facts = rows.map((row) => element("div", { class: row.strong ? "lxo-fact lxo-strong" : "lxo-fact" },
    element("dt", { class: "lxo-term" }, String(row.label ?? "")),
    element("dd", { class: row.mono ? "lxo-value lxo-mono" : "lxo-value" }, String(row.value ?? ""))));
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

function drawProblem({ what, next }) {
  const words = element("div", {}, element("p", { class: "lxo-what" }, String(what ?? "")));
  if (next) words.append(element("p", {}, String(next)));
  return [element("div", { class: "lxo-trouble" }, icon("error"), words)];
}

function drawNotes(notes) {
  return notes.map((note) => element("li", {}, icon("info"), element("span", {}, String(note))));
}

function render({ model, el }) {
  const card = new Card(model, el);
  card.open();
  return () => card.close();
}

export default { render };
