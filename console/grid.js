// The recommendations: cards with reasons, what moved since the last answer, and the moves themselves.

import { keyed, make } from "./dom.js";
import { picture } from "./picture.js";
import { capital, money, reasonClass, reasonCode, reasonName } from "./words.js";

const still = window.matchMedia("(prefers-reduced-motion: reduce)");

/// Fills `grid` with the recommended items and marks against `before`, the ids of the answer that stood there, what
/// moved. `on.add(item)` is called to add one; links carry `href(item)`.
export function showRecommendations(grid, items, before, { add, href }) {
  const places = new Map(before.map((id, place) => [id, place]));
  const from = new Map(Array.from(grid.children, (card) => [card.dataset.key, card.getBoundingClientRect()]));
  const best = Math.max(...items.map((entry) => entry.score ?? 0), 0);
  keyed(grid, items, (entry) => entry.itemId, makeCard, (card, entry) => {
    fill(card, entry, best, { add, href });
    mark(card, before.length > 0 ? places.get(entry.itemId) : entry.rank - 1, entry.rank - 1);
  });
  grid.removeAttribute("aria-busy");
  if (!still.matches && from.size > 0) {
    slide(grid, from);
  }
}

/// What the colours of the bars stand for, as far as they are on the page.
export function showLegend(list, items) {
  const codes = [...new Set(items.flatMap((entry) => entry.reasons ?? []).map((reason) => reasonCode(reason.code)))];
  keyed(list, codes.sort(), (code) => code, (code) => make("li", "", make("span", `dot ${reasonClass(code)}`), reasonName(code)), () => {});
}

function makeCard() {
  const card = make("li", "card");
  const link = make("a", "card-link", make("span", "card-picture"), make("span", "card-title"));
  const buy = make("div", "card-buy", make("span", "price"), make("button", "quiet", "Add"));
  buy.lastElementChild.type = "button";
  const why = make("details", "why", make("summary", ""), make("ul", ""));
  card.append(link, buy, why);
  return card;
}

function fill(card, entry, best, { add, href }) {
  const item = entry.item ?? { itemId: entry.itemId };
  const title = item.title || item.itemId;
  const [link, buy, why] = [card.querySelector("a"), card.querySelector(".card-buy"), card.querySelector(".why")];
  link.href = href(item);
  link.querySelector(".card-title").textContent = title;
  const frame = link.querySelector(".card-picture");
  if (frame.childElementCount === 0) {
    frame.append(picture(item));
  }
  buy.firstElementChild.textContent = money(item.price, item.currency);
  const button = buy.lastElementChild;
  button.setAttribute("aria-label", `Add ${title} to the cart`);
  button.onclick = () => add(item, entry);
  explain(why, entry, best);
}

/// The bar of contributions, as long as the score beside the best one, with the first reason in words; opened, every
/// reason with its share of the score.
function explain(why, entry, best) {
  const reasons = entry.reasons ?? [];
  const [summary, list] = why.children;
  const bar = make("span", "bar");
  bar.setAttribute("aria-hidden", "true");
  for (const reason of reasons) {
    const part = make("i", reasonClass(reason.code));
    part.style.flexGrow = String(Math.max(reason.contribution ?? 0, 0) * 1_000);
    bar.append(part);
  }
  bar.style.width = `${best > 0 ? Math.max(((entry.score ?? 0) / best) * 100, 4).toFixed(1) : 100}%`;
  const first = reasons[0];
  const words = first ? capital(first.text || reasonName(first.code)) : "No reason given";
  const more = reasons.length > 1 ? ` and ${reasons.length - 1} more` : "";
  summary.replaceChildren(bar, words + more);
  list.replaceChildren(...reasons.map((reason) => {
    const text = reason.text ? capital(reason.text) : reasonName(reason.code);
    const support = reason.support ? ` (${reason.support} sessions)` : "";
    return make("li", "", make("span", `dot ${reasonClass(reason.code)}`), text + support, make("b", "", signed(reason.contribution ?? 0)));
  }));
}

function signed(value) {
  const digits = Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3;
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
}

function mark(card, old, place) {
  card.querySelector(".moved")?.remove();
  if (old === place) {
    return;
  }
  const badge = old === undefined ? make("span", "moved", "New")
    : old > place ? make("span", "moved", `↑ ${old - place}`)
    : make("span", "moved down", `↓ ${place - old}`);
  const words = old === undefined ? "new in the answer" : old > place ? `up ${old - place}` : `down ${place - old}`;
  badge.append(make("span", "unseen", ` (${words})`));
  card.append(badge);
}

/// Lets each card slide from where it was; new ones fade in.
function slide(grid, from) {
  for (const card of grid.children) {
    const was = from.get(card.dataset.key);
    if (!was) {
      card.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 260, easing: "ease-out" });
      continue;
    }
    const is = card.getBoundingClientRect();
    const [x, y] = [was.left - is.left, was.top - is.top];
    if (x !== 0 || y !== 0) {
      card.animate(
        [{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }],
        { duration: 320, easing: "cubic-bezier(.2, .7, .2, 1)" },
      );
    }
  }
}
