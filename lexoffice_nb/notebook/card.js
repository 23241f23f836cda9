/**
 * What all cards have in common: this file stands in front of each card's own.
 *
 * Everything travels as custom messages, because synced traits are kept in the notebook file and echoed to every client
 * of the kernel. Python always sends the whole card; what did not change stays in place, so that focus and half-typed
 * text survive. Texts become text nodes, never markup. Only the state is announced to screen readers.
 */

const HELLO_AFTER = [2000, 5000, 10000]; // ms; a kernel busy with a cell answers late
const DISCONNECTED_AFTER = 3000;
const UNANSWERED_AFTER = 8000;

// Only what must be said without a kernel: all other words come with the card.
const WITHOUT_KERNEL = {
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
  waiting: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M8 4.5V8l2.25 1.75" }]],
  busy: [["circle", { cx: 8, cy: 8, r: 6.25, opacity: 0.25 }], ["path", { d: "M8 1.75A6.25 6.25 0 0 1 14.25 8" }]],
  paused: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M6.25 5.75v4.5M9.75 5.75v4.5" }]],
  stopped: [["circle", { cx: 8, cy: 8, r: 6.25 }], ["path", { d: "M6 6h4v4H6z" }]],
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

/** What the person asked for in JupyterLab, else in the browser. */
function preferredLanguage() {
  const page = document.documentElement.lang.replace("_", "-");
  return page && !/^en\b/i.test(page) ? page : navigator.language || "en";
}

function drawFact(row) {
  return element("div", { class: row.strong ? "lxo-fact lxo-strong" : "lxo-fact" },
    element("dt", { class: "lxo-term" }, String(row.label ?? "")),
    element("dd", { class: row.mono ? "lxo-value lxo-mono" : "lxo-value" }, String(row.value ?? "")));
}

function drawProblem({ what, next }) {
  const words = element("div", {}, element("p", { class: "lxo-what" }, String(what ?? "")));
  if (next) words.append(element("p", {}, String(next)));
  return [element("div", { class: "lxo-trouble" }, icon("error"), words)];
}

function drawNotes(notes) {
  return notes.map((note) => element("li", {}, icon("info"), element("span", {}, String(note))));
}

/** One view of one model. Each card has its kind of message, its parts, and what it greets Python with. */
class Card {
  constructor(model, el, kind) {
    this.model = model;
    this.kind = kind;
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
    const id = `lxo-${Math.random().toString(36).slice(2)}`;
    this.title = element("h3", { class: "lxo-title", id });
    this.statusIcon = element("span", { class: "lxo-status-icon" });
    this.status = element("span", { role: "status", "aria-live": "polite" });
    this.problem = element("div", { class: "lxo-problem" });
    this.facts = element("dl", { class: "lxo-facts" });
    this.actions = element("div", ownKeys({ class: "lxo-buttons" }));
    this.notes = element("ul", { class: "lxo-notes" });
    this.unanswered = element("p", { class: "lxo-unanswered", "aria-live": "polite" });
    this.root = element("div", { class: "lxo-card", role: "group", "aria-labelledby": id },
      element("div", { class: "lxo-head" }, this.title, element("div", { class: "lxo-state" }, this.statusIcon, this.status)),
      ...this.parts());
    el.append(this.root);
  }

  open() {
    this.model.on("msg:custom", this.receive);
    // Hosts built on ipywidgets tell when the comm goes, as it does when the kernel restarts: ask again who is there.
    this.model.on("comm:close", this.hello);
    this.model.on("comm_live_update", this.hello);
    this.draw({ state: "connecting", status: { icon: "busy", text: WITHOUT_KERNEL[this.language].connecting } });
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
    const message = this.greeting();
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
      setText(this.unanswered, this.noAnswer());
    }, UNANSWERED_AFTER);
    return this.send(message);
  }

  act(name) {
    if (this.asked === name) return; // a double click is one wish
    this.asked = name;
    this.ask({ kind: "action", name });
  }

  answered() {
    clearTimeout(this.unansweredTimer);
    this.asked = null;
    setText(this.unanswered, "");
  }

  receive(message) {
    if (message?.kind !== this.kind || !Number.isFinite(message.version) || message.version < this.version) return;
    this.stopTimers();
    this.take(message);
    this.version = message.version;
    this.draw(message);
  }

  /** Without a kernel nothing goes on, and there is nothing to sign in to: one sentence. */
  disconnect() {
    this.answered();
    this.draw({ state: "disconnected", status: { icon: "warn", text: WITHOUT_KERNEL[this.language].disconnected } });
  }

  draw(card) {
    const page = this.root.getRootNode();
    const before = page.activeElement;
    const focused = this.root.contains(before);
    if (card.lang) this.language = card.lang === "de" ? "de" : "en";
    this.root.setAttribute("lang", this.language);
    this.root.setAttribute("data-state", card.state);
    this.title.hidden = !card.title;
    setText(this.title, card.title);
    this.drawPart(this.statusIcon, card.status?.icon, (name) => [icon(name)]);
    setText(this.status, card.status?.text);
    this.drawPart(this.notes, card.notes, drawNotes);
    this.drawParts(card);
    this.drawActions(card.actions ?? []);
    this.state = card.state;
    if (focused && !this.root.contains(before)) this.keepFocus(card);
  }

  /** What had the focus is gone: the title takes it. */
  keepFocus(card) {
    const next = card.title ? this.title : this.root;
    next.setAttribute("tabindex", "-1");
    next.focus({ preventScroll: true });
  }

  /** Draw a part anew only if its data changed: selections, and what a screen reader is reading, stay. */
  drawPart(place, data, draw) {
    const key = JSON.stringify(data ?? null);
    if (this.drawn.get(place) === key) return;
    this.drawn.set(place, key);
    place.replaceChildren(...(data ? draw(data) : []));
  }

  /** Put a part with a life of its own in its place, and keep it up to date; without data it goes. */
  drawOwn(name, place, data, make) {
    if (!data) {
      this[name]?.node.remove();
      this[name] = null;
      return;
    }
    this[name] ??= make();
    this[name].update(data);
    if (!this[name].node.isConnected) place.append(this[name].node);
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

/** The view as anywidget wants it. */
function view(Kind) {
  return {
    render({ model, el }) {
      const card = new Kind(model, el);
      card.open();
      return () => card.close();
    },
  };
}
