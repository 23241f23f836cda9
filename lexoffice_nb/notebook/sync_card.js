/**
 * The card of a sync: how far it is, and the buttons that hold it, drawn from one message.
 *
 * Everything travels as custom messages, as with the sign-in card. What did not change stays in place, so that focus
 * survives four cards a second. Only the state is announced to screen readers; the bar can be asked at any time.
 */

const HELLO_AFTER = [2000, 5000, 10000]; // ms; a kernel busy with a cell answers late
const DISCONNECTED_AFTER = 3000;
const UNANSWERED_AFTER = 8000;

// Only what must be said without a kernel: all other words come with the card.
const TEXTS = {
  en: {
    connecting: "Connecting to the kernel…",
    disconnected: "This card is not connected to a running kernel. Run the cell again.",
  },
  de: {
    connecting: "Verbindung zum Kernel wird aufgebaut …",
    disconnected: "Diese Karte ist mit keinem laufenden Kernel verbunden. Führen Sie die Zelle noch einmal aus.",
  },
};

// Shapes on a 16 × 16 grid, drawn as strokes in the colour of the text around them.
const ICONS = {
  busy: [["circle", { cx: 8, cy: 8, r: 6.25, opacity: 0.25 }], ["path", { d: "M8 1.75A6.25 6.25 0 0 1 14.25 8" }]],
  paused: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M6.25 5.75v4.5M9.75 5.75v4.5" }]],
  stopped: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M6 6h4v4H6z" }]],
  ok: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M5 8.25 7.1 10.3 11 6" }]],
  warn: [["path", { d: "M8 2 14.5 13.5h-13z" }], ["path", { d: "M8 6.5v3.25M8 11.7v.05" }]],
  error: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M8 4.75v4M8 11.2v.05" }]],
  info: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M8 7.25v4M8 4.8v.05" }]],
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

/** Shortcuts of JupyterLab (Enter edits the cell) stay out of what is inside. */
function ownKeys(attributes) {
  return { ...attributes, "data-lm-suppress-shortcuts": "true", "data-jp-suppress-context-menu": "true" };
}

/** What the person asked for in JupyterLab, else in the browser. */
function preferredLanguage() {
  const page = document.documentElement.lang.replace("_", "-");
  return page && !/^en\b/i.test(page) ? page : navigator.language || "en";
}

/** The bar with its words. The words change four times a second, so nothing reads them out by itself. */
class Bar {
  constructor() {
    this.fill = element("div", { class: "lxo-fill" });
    this.track = element("div", { class: "lxo-track", role: "progressbar", "aria-valuemin": "0" }, this.fill);
    this.text = element("span", { class: "lxo-counted" });
    this.more = element("span", { class: "lxo-quiet" });
    this.node = element("div", { class: "lxo-progress" }, this.track, element("p", {}, this.text, " ", this.more));
  }

  update(bar) {
    const known = Number.isFinite(bar.total) && bar.total > 0;
    const done = known ? Math.min(bar.done, bar.total) : 0;
    this.track.setAttribute("aria-label", bar.name);
    this.track.setAttribute("aria-valuetext", bar.text);
    this.track.classList.toggle("lxo-unknown", !known);
    if (known) {
      this.track.setAttribute("aria-valuemax", bar.total);
      this.track.setAttribute("aria-valuenow", done);
    } else {
      this.track.removeAttribute("aria-valuemax");
      this.track.removeAttribute("aria-valuenow");
    }
    this.fill.style.width = known ? `${(100 * done) / bar.total}%` : "100%";
    setText(this.text, bar.text);
    setText(this.more, bar.more ? `· ${bar.more}` : "");
  }
}

/** One view of one sync. */
class Card {
  constructor(model, el) {
    this.model = model;
    this.version = -Infinity;
    this.drawn = new Map(); // part -> the data it was drawn from
    this.buttons = new Map();
    this.timers = [];
    this.asked = null; // the action that was sent and is not yet answered
    this.language = /^de\b/i.test(preferredLanguage()) ? "de" : "en";
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
    this.barPlace = element("div", { class: "lxo-place" });
    this.facts = element("dl", { class: "lxo-facts" });
    this.actions = element("div", ownKeys({ class: "lxo-buttons" }));
    this.notes = element("ul", { class: "lxo-notes" });
    this.unanswered = element("p", { class: "lxo-unanswered", "aria-live": "polite" });
    this.root = element("div", { class: "lxo-card lxo-sync", role: "group", "aria-labelledby": id },
      element("div", { class: "lxo-head" }, this.title, element("div", { class: "lxo-state" }, this.statusIcon, this.status)),
      this.problem, this.barPlace, this.facts, this.actions, this.unanswered, this.notes);
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
    this.closed = true;
    this.root.remove();
  }

  hello() {
    this.stopTimers();
    const message = { kind: "hello" }; // its language is that of the sign-in
    for (const delay of HELLO_AFTER) this.timers.push(setTimeout(() => this.send(message), delay));
    this.timers.push(setTimeout(() => this.disconnect(), DISCONNECTED_AFTER));
    this.send(message);
  }

  stopTimers() {
    this.timers.forEach(clearTimeout);
    this.timers = [];
  }

  send(message) {
    if (this.closed) return;
    try {
      this.model.send(message);
    } catch {
      this.disconnect();
    }
  }

  act(name) {
    if (this.asked === name) return; // a double click is one wish
    this.asked = name;
    clearTimeout(this.unansweredTimer);
    this.unansweredTimer = setTimeout(() => {
      this.asked = null;
      setText(this.unanswered, this.busy);
    }, UNANSWERED_AFTER);
    this.send({ kind: "action", name });
  }

  receive(message) {
    if (message?.kind !== "sync" || !Number.isFinite(message.version) || message.version < this.version) return;
    this.stopTimers();
    this.version = message.version;
    this.busy = message.busy;
    // Progress comes from a thread of its own also while the kernel is busy: it is no answer to a button.
    if (message.state !== this.state || !this.asked) {
      this.asked = null;
      clearTimeout(this.unansweredTimer);
      setText(this.unanswered, "");
    }
    this.draw(message);
  }

  /** Without a kernel nothing goes on: one sentence. */
  disconnect() {
    clearTimeout(this.unansweredTimer);
    this.draw({ state: "disconnected", status: { icon: "warn", text: TEXTS[this.language].disconnected } });
  }

  draw(card) {
    const page = this.root.getRootNode();
    const focused = this.root.contains(page.activeElement);
    const before = page.activeElement;
    if (card.lang) this.language = card.lang === "de" ? "de" : "en";
    this.state = card.state;
    this.root.setAttribute("lang", this.language);
    this.root.setAttribute("data-state", card.state);
    this.title.hidden = !card.title;
    setText(this.title, card.title);
    this.drawPart(this.statusIcon, card.status?.icon, (name) => [icon(name)]);
    setText(this.status, card.status?.text);
    this.drawPart(this.problem, card.problem, drawProblem);
    this.drawPart(this.facts, card.rows, drawFacts);
    this.drawPart(this.notes, card.notes, drawNotes);
    this.drawBar(card.bar);
    this.drawActions(card.actions ?? []);
    if (focused && !this.root.contains(before)) this.keepFocus(card);
  }

  /** What had the focus is gone: Pause and Resume take each other's, else the title takes it. */
  keepFocus(card) {
    const next = this.actions.firstElementChild ?? (card.title ? this.title : this.root);
    if (next.tagName !== "BUTTON") next.setAttribute("tabindex", "-1");
    next.focus({ preventScroll: true });
  }

  /** Draw a part anew only if its data changed: selections, and what a screen reader is reading, stay. */
  drawPart(place, data, draw) {
    const key = JSON.stringify(data ?? null);
    if (this.drawn.get(place) === key) return;
    this.drawn.set(place, key);
    place.replaceChildren(...(data ? draw(data) : []));
  }

  drawBar(bar) {
    if (!bar) {
      this.bar?.node.remove();
      this.bar = null;
      return;
    }
    this.bar ??= new Bar();
    this.bar.update(bar);
    if (!this.bar.node.isConnected) this.barPlace.append(this.bar.node);
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
}

function drawFacts(rows) {
  return rows.map(({ label, value }) => element("div", { class: "lxo-fact" },
    element("dt", { class: "lxo-term" }, String(label)), element("dd", { class: "lxo-value" }, String(value))));
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
