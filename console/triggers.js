// The triggers: what waits with its countdown, and what fired, was suppressed or was taken back.

import { byId, keyed, make } from "./dom.js";
import { countdown, duration, money, plural, ruleName, triggerWords } from "./words.js";

const WAITING_MAX = 4;
const LOG_MAX = 6;

/// The panel. It knows the visitor, so that their own triggers stand out and are announced.
export class TriggerPanel {
  #time;
  #announce;
  #visitor = "";
  #episodes = [];
  #records = [];

  constructor(time, announce) {
    this.#time = time;
    this.#announce = announce;
  }

  set visitor(id) {
    this.#visitor = id;
    this.#draw();
    this.#drawLog();
  }

  /// The open episodes, as the server lists them.
  show(episodes) {
    this.#episodes = episodes.map((episode) => ({ ...episode, due: Date.parse(episode.deadline) }));
    this.#draw();
  }

  /// A record of the trigger log, in any order; what is old is not announced.
  record(trigger, { old = false } = {}) {
    const seq = Number(trigger.seq);
    if (this.#records.some((known) => known.seq === seq)) {
      return;
    }
    this.#records.push({ ...trigger, seq });
    this.#records.sort((a, b) => b.seq - a.seq);
    this.#records.length = Math.min(this.#records.length, 50);
    this.#episodes = this.#episodes.filter((episode) => episode.triggerId !== trigger.triggerId);
    if (!old && trigger.userId === this.#visitor) {
      const { tag, why } = triggerWords(trigger);
      this.#announce(`${ruleName(trigger.rule)}: ${tag}, ${why}`);
    }
    this.#draw();
    this.#drawLog();
  }

  /// Moves the countdowns on.
  tick() {
    for (const row of byId("waiting").children) {
      this.#count(row);
    }
    for (const row of byId("log").children) {
      this.#age(row);
    }
  }

  #mine(entry) {
    return entry.userId === this.#visitor;
  }

  #draw() {
    const now = this.#time.now() ?? 0;
    const open = this.#episodes.filter((episode) => episode.due > now);
    const own = open.filter((episode) => this.#mine(episode));
    const shown = [...own, ...open.filter((episode) => !this.#mine(episode))].slice(0, WAITING_MAX);
    byId("waiting-empty").hidden = shown.length > 0;
    byId("triggers-note").textContent = open.length > shown.length ? `${open.length} carts wait` : "";
    keyed(byId("waiting"), shown, (episode) => episode.triggerId, makeWaiting, (row, episode) => {
      row.classList.toggle("mine", this.#mine(episode));
      row.dataset.due = String(episode.due);
      row.dataset.set = String(Date.parse(episode.cart?.updatedAt) || episode.due - 3_600_000);
      row.querySelector(".who").textContent = episode.userId;
      row.querySelector("small").textContent = `${ruleName(episode.rule)} · ${cart(episode.cart)}`;
      this.#count(row);
    });
  }

  #count(row) {
    const now = this.#time.now();
    if (now === undefined) {
      return;
    }
    const [due, set] = [Number(row.dataset.due), Number(row.dataset.set)];
    const left = Math.max(due - now, 0);
    const wall = left / this.#time.speed;
    row.querySelector(".count").textContent = left === 0 ? "due" : countdown(wall);
    row.querySelector(".count").title = `${duration(left)} of shop time`;
    const share = Math.min(left / Math.max(due - set, 1), 1);
    row.querySelector(".left i").style.transform = `scaleX(${share.toFixed(4)})`;
  }

  #drawLog() {
    const own = this.#records.filter((record) => this.#mine(record)).slice(0, 3);
    const others = this.#records.filter((record) => !this.#mine(record)).slice(0, LOG_MAX - own.length);
    const shown = [...own, ...others].sort((a, b) => b.seq - a.seq);
    byId("log-empty").hidden = shown.length > 0;
    keyed(byId("log"), shown, (record) => record.seq, makeRecord, (row, record) => {
      row.classList.toggle("mine", this.#mine(record));
      row.dataset.at = String(Date.parse(record.firedAt));
      this.#age(row);
    });
  }

  #age(row) {
    const now = this.#time.now();
    const at = Number(row.dataset.at);
    if (now !== undefined && Number.isFinite(at)) {
      row.querySelector(".when").textContent = duration(Math.max(now - at, 0));
    }
  }
}

function makeWaiting() {
  const row = make("li", "", make("span", "who"), make("span", "count"), make("small", ""), make("span", "left", make("i", "")));
  row.querySelector("small").className = "what";
  return row;
}

function makeRecord(record) {
  const { kind, tag, why } = triggerWords(record);
  const row = make(
    "li",
    "",
    make("span", `tag ${kind}`, tag),
    make("span", "", make("span", "who", record.userId), " ", make("small", "", `${why} · ${cart(record.cart)}`)),
    make("span", "when"),
  );
  row.title = ruleName(record.rule);
  return row;
}

function cart(view) {
  const lines = view?.items ?? [];
  return `${plural(lines.length, "item", "items")}, ${money(view?.value ?? 0, view?.currency)}`;
}
