/**
 * The card of a sync: how far it is, and the buttons that hold it.
 *
 * Focus survives four cards a second. The bar is not announced, but can be asked at any time.
 */

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
class SyncCard extends Card {
  constructor(model, el) {
    super(model, el, "sync");
    this.root.classList.add("lxo-sync");
  }

  parts() {
    this.barPlace = element("div", { class: "lxo-place" });
    return [this.problem, this.barPlace, this.facts, this.actions, this.unanswered, this.notes];
  }

  greeting() {
    return { kind: "hello" }; // its language is that of the sign-in
  }

  noAnswer() {
    return this.busy;
  }

  take(message) {
    this.busy = message.busy;
    // Progress comes from a thread of its own also while the kernel is busy: it is no answer to a button.
    if (message.state !== this.state || !this.asked) this.answered();
  }

  drawParts(card) {
    this.drawPart(this.problem, card.problem, drawProblem);
    this.drawPart(this.facts, card.rows, (rows) => rows.map(drawFact));
    this.drawOwn("bar", this.barPlace, card.bar, () => new Bar());
  }

  /** Pause and Resume take each other's focus. */
  keepFocus(card) {
    if (this.actions.firstElementChild) this.actions.firstElementChild.focus({ preventScroll: true });
    else super.keepFocus(card);
  }
}

export default view(SyncCard);
