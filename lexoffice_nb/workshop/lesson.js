/**
 * The lesson: on the left the sequence diagram, which fills as requests really happen; on the right the step at hand.
 *
 * A secret comes in a message of its own when the person asks for it. It is a text node for five seconds, then it is
 * gone; nothing of it is in the card.
 */

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = ["line", "rect", "circle", "path", "text"];
const PREDICT_KEY = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", " ", "Tab", "Enter"];
const TRY_AFTER = 200; // ms without a key

/** The diagram of a list of shapes; tags are of a short list and words are text nodes. */
function drawShapes({ label, words, width, height, shapes }) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { class: "lxo-seq", role: "img", viewBox: `0 0 ${width} ${height}`, "aria-label": `${label}. ${words}` };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  for (const [tag, given, text] of shapes) {
    if (!SHAPES.includes(tag)) continue;
    const shape = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(given)) if (!/^on|href/i.test(name)) shape.setAttribute(name, value);
    if (text !== undefined) shape.textContent = text;
    svg.append(shape);
  }
  return svg;
}

/** A value, and the button that shows a secret one for five seconds. */
class Value {
  constructor(row, label, reveal) {
    this.name = row.secret;
    this.masked = row.value;
    this.text = element("span", { class: row.mono ?? true ? "lxo-mono" : "" }, String(row.value));
    this.node = element("span", { class: "lxo-shown" }, this.text);
    if (!row.secret) return;
    const button = element("button", { class: "lxo-button lxo-small", type: "button" }, label);
    button.addEventListener("click", () => reveal(row.secret));
    this.node.append(" ", button);
  }

  show(value, seconds) {
    clearTimeout(this.timer);
    this.text.textContent = value;
    this.timer = setTimeout(() => this.hide(), seconds * 1000);
  }

  hide() {
    clearTimeout(this.timer);
    this.text.textContent = this.masked;
  }
}

/** One view of one lesson. */
class LessonCard extends Card {
  constructor(model, el) {
    super(model, el, "lesson");
    this.root.classList.add("lxo-lesson");
    this.values = [];
  }

  parts() {
    const section = (name) => element("section", ownKeys({ class: `lxo-part lxo-${name}` }));
    this.nav = element("nav", ownKeys({ class: "lxo-nav" }));
    this.diagram = element("div", { class: "lxo-diagram" });
    this.heading = element("h4", { class: "lxo-heading", tabindex: "-1" });
    this.intro = element("p", { class: "lxo-intro" });
    this.predict = section("predict");
    this.doing = section("do");
    this.see = section("see");
    this.explain = section("explain");
    const panel = element("div", { class: "lxo-panel" },
      this.heading, this.intro, this.predict, this.doing, this.problem, this.see, this.explain, this.notes, this.actions, this.unanswered);
    return [this.nav, element("div", { class: "lxo-lesson-body" }, panel, this.diagram)];
  }

  greeting() {
    return { kind: "hello", lang: preferredLanguage() };
  }

  noAnswer() {
    return this.busy;
  }

  take(message) {
    this.busy = message.busy;
    this.answered();
  }

  receive(message) {
    if (message?.kind === "reveal") this.reveal(message);
    else super.receive(message);
  }

  reveal({ name, value, seconds }) {
    if (typeof value !== "string" || !(seconds > 0 && seconds <= 10)) return;
    this.answered();
    for (const each of this.values) if (each.name === name) each.show(value, seconds);
  }

  close() {
    this.values.forEach((value) => value.hide());
    clearTimeout(this.tryTimer);
    super.close();
  }

  drawParts(card) {
    const moved = card.heading && card.heading !== this.heading.textContent && this.heading.textContent;
    setText(this.heading, card.heading);
    setText(this.intro, card.intro);
    this.revealLabel = card.reveal;
    this.drawPart(this.problem, card.problem, drawProblem);
    this.drawPart(this.nav, card.nav, (nav) => this.drawNav(nav));
    this.drawPart(this.diagram, card.drawing, (drawing) => this.drawDiagram(drawing));
    this.drawPart(this.predict, card.predict, (predict) => this.drawPredict(predict));
    const toDo = card.do && (card.do.button || card.do.link || card.do.more) ? { ...card.do, try: undefined } : null;
    this.drawPart(this.doing, toDo, (doing) => this.drawDo(doing));
    this.drawTry(card.do?.try);
    this.drawPart(this.see, card.see, (see) => this.drawSee(see));
    this.drawPart(this.explain, card.explain, (explain) => this.drawExplain(explain));
    for (const part of [this.predict, this.doing, this.see, this.explain]) part.hidden = !part.firstChild;
    if (moved) this.moved = true;
  }

  draw(card) {
    const focused = this.root.contains(this.root.getRootNode().activeElement);
    this.moved = false;
    super.draw(card);
    // A new step begins at its heading, for the keyboard and for who hears it.
    if (focused && this.moved) {
      this.heading.focus({ preventScroll: true });
      this.heading.scrollIntoView({ block: "nearest" });
    }
  }

  /** The button that had the focus is gone: what it led to takes it. */
  keepFocus() {
    const next = this.root.querySelector(".lxo-do button, .lxo-do a, .lxo-do input")
      ?? [...this.actions.children].find((button) => button.matches(".lxo-primary")) ?? this.heading;
    next.focus({ preventScroll: true });
  }

  drawNav(nav) {
    const items = nav.steps.map(({ number, title, mark, word, can }) => {
      const button = element("button", { type: "button", class: `lxo-dot lxo-dot-${mark}`, title },
        element("span", { "aria-hidden": "true" }, mark === "done" ? "✓" : String(number)),
        element("span", { class: "lxo-unseen" }, `${number}. ${title}: ${word}`));
      if (mark === "here") button.setAttribute("aria-current", "step");
      button.disabled = !can;
      button.addEventListener("click", () => this.ask({ kind: "go", name: number }));
      return element("li", {}, button);
    });
    this.nav.setAttribute("aria-label", nav.label);
    return [element("ol", { class: "lxo-dots" }, ...items)];
  }

  drawDiagram(drawing) {
    const list = element("ol", {}, ...drawing.list.map((words) => element("li", {}, words)));
    const head = element("p", { class: "lxo-label" }, drawing.label);
    const none = drawing.list.length ? [] : [element("p", { class: "lxo-quiet" }, drawing.empty)];
    const inWords = element("details", ownKeys({ class: "lxo-in-words" }), element("summary", {}, drawing.list_label), list);
    return [head, drawShapes(drawing), ...none, ...(drawing.list.length ? [inWords] : [])];
  }

  drawPredict({ label, question, options, chosen, right, verdict }) {
    const group = `lxo-${Math.random().toString(36).slice(2)}`;
    const rows = options.map(({ name, text }) => {
      const input = element("input", { type: "radio", name: group, value: name, id: `${group}-${name}`, class: "lxo-tick" });
      input.checked = chosen === name;
      input.disabled = Boolean(chosen);
      for (const kind of ["keydown", "keyup", "keypress"]) {
        input.addEventListener(kind, (event) => PREDICT_KEY.includes(event.key) && event.stopPropagation());
      }
      // A mouse chooses by a click; the keyboard walks with arrows and chooses with Space or Enter, so nothing is lost.
      input.addEventListener("click", (event) => event.detail > 0 && this.ask({ kind: "predict", name }));
      input.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.ask({ kind: "predict", name });
      });
      const mark = chosen && name === right ? [icon("granted")] : chosen === name ? [icon("refused")] : [];
      return element("div", { class: chosen && name === right ? "lxo-option lxo-option-right" : "lxo-option" },
        input, element("label", { for: `${group}-${name}` }, text), ...mark);
    });
    const fields = element("fieldset", { class: "lxo-question" }, element("legend", {}, question), ...rows);
    const said = verdict ? [element("p", { class: "lxo-verdict" },
      icon(verdict.good ? "ok" : "info"), element("span", {}, element("strong", {}, verdict.word), " ", verdict.text))] : [];
    return [element("p", { class: "lxo-label" }, label), fields, element("div", { "aria-live": "polite" }, ...said)];
  }

  drawDo({ label, button, more, link }) {
    const nodes = [];
    for (const [each, primary] of [[button, true], [more, false]]) {
      if (!each) continue;
      const node = element("button", { type: "button", class: primary ? "lxo-button lxo-primary" : "lxo-button" }, each.label);
      node.addEventListener("click", () => this.act(each.name));
      nodes.push(node);
    }
    const url = link ? loopbackUrl(link.href) : null;
    if (url) {
      const anchor = element("a", { class: "lxo-button lxo-primary", href: url.href, target: "_blank", rel: "noopener noreferrer" },
        element("span", {}, link.label), icon("out"));
      nodes.push(anchor, element("p", { class: "lxo-leads" }, element("span", { class: "lxo-quiet" }, link.host_label), " ",
        element("span", { class: "lxo-mono" }, url.host)));
    }
    return [element("p", { class: "lxo-label" }, label), element("div", { class: "lxo-buttons" }, ...nodes)];
  }

  /** The box stays in place while its result changes, so that what is typed is not lost. */
  drawTry(given) {
    if (!given) {
      this.tryBox?.remove();
      this.tryBox = null;
      return;
    }
    if (!this.tryBox) {
      const id = `lxo-${Math.random().toString(36).slice(2)}`;
      const input = element("input", { id, type: "text", class: "lxo-input lxo-mono", autocomplete: "off", spellcheck: "false", maxlength: "140" });
      input.value = given.start;
      for (const kind of ["keydown", "keyup", "keypress"]) {
        input.addEventListener(kind, (event) => event.key !== "Escape" && event.stopPropagation());
      }
      input.addEventListener("input", () => {
        clearTimeout(this.tryTimer);
        this.tryTimer = setTimeout(() => this.ask({ kind: "try", text: input.value }), TRY_AFTER);
      });
      this.trySaid = element("div", { class: "lxo-said", "aria-live": "polite" });
      this.tryBox = element("div", ownKeys({ class: "lxo-box" }), element("label", { class: "lxo-label", for: id }, given.label), input, this.trySaid);
      this.see.before(this.tryBox);
    }
    const text = given.said.join("\n");
    if (this.trySaid.textContent !== text) this.trySaid.replaceChildren(...given.said.map((line) => element("p", { class: "lxo-mono" }, line)));
  }

  drawSee({ label, blocks }) {
    this.values.forEach((value) => value.hide());
    this.values = [];
    return [element("p", { class: "lxo-label" }, label), ...blocks.map((block) => this.drawBlock(block))];
  }

  value(row) {
    const value = new Value(row, this.revealLabel, (name) => this.ask({ kind: "reveal", name }));
    this.values.push(value);
    return value.node;
  }

  drawBlock(block) {
    if (block.kind === "raw") {
      return element("div", { class: "lxo-raw" }, element("p", { class: "lxo-quiet" }, block.label),
        element("pre", ownKeys({ class: "lxo-mono", tabindex: "0", "aria-label": block.label }), block.lines.join("\n")));
    }
    if (block.kind === "parameters") {
      const items = block.items.map((item) => element("details", { class: "lxo-parameter" },
        element("summary", {}, element("span", { class: "lxo-mono lxo-name" }, item.name)),
        element("p", {}, this.value(item)), element("p", {}, item.text), element("p", { class: "lxo-quiet" }, item.source)));
      return element("div", { class: "lxo-parameters", role: "group", "aria-label": block.label }, ...items);
    }
    return element("dl", { class: "lxo-facts" }, ...block.rows.map((row) => element("div", { class: "lxo-fact" },
      element("dt", { class: "lxo-term" }, row.label), element("dd", { class: "lxo-value" }, this.value(row)))));
  }

  drawExplain({ label, text, source }) {
    return [element("p", { class: "lxo-label" }, label), element("p", {}, text), element("p", { class: "lxo-quiet" }, source)];
  }
}

/** The lesson's link leads to the sandbox on this machine, and nowhere else. */
function loopbackUrl(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  const loopback = /^(localhost|\[::1\]|127(\.\d{1,3}){3})$/.test(url.hostname);
  return url.protocol === "http:" && loopback && !url.username && !url.password ? url : null;
}

export default view(LessonCard);
