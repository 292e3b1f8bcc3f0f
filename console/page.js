// The page: one visitor, one product or none, and everything that follows from what they do.

import * as api from "./api.js";
import { byId, keyed, make } from "./dom.js";
import { showLegend, showRecommendations } from "./grid.js";
import { picture } from "./picture.js";
import { showCart, showProfile } from "./profile.js";
import { ShopTime } from "./time.js";
import { TriggerPanel } from "./triggers.js";
import { act, clock, count, dayAndTime, micros, money } from "./words.js";

const SHOWN = { home: 12, product: 8 };
const AROUND_MAX = 6;
const LAST_TRIGGERS = 40;
const time = new ShopTime();
const panel = new TriggerPanel(time, announce);

const state = {
  visitor: "",
  /// The id just made up, as long as nobody has heard of it.
  newcomer: "",
  product: "",
  session: api.freshId("s-"),
  /// Log position after our last event: answers must not be older.
  position: undefined,
  /// Ids of the answer on the page, in order.
  shown: [],
  placement: "",
  token: "",
  cart: undefined,
  /// Number of the refresh under way; older answers are dropped.
  turn: 0,
  /// Event ids of our own that the stream will tell us.
  own: new Set(),
};

// Where we are: `#as=user-7&item=sku-10001`.

function here(changes) {
  const place = new URLSearchParams({ as: state.visitor });
  const item = "item" in changes ? changes.item : state.product;
  if (changes.as) {
    place.set("as", changes.as);
  }
  if (item) {
    place.set("item", item);
  }
  return `#${place}`;
}

const hrefOf = (item) => here({ item: item.itemId });

async function arrive() {
  const place = new URLSearchParams(location.hash.slice(1));
  const visitor = place.get("as") || state.visitor || newcomer();
  const product = place.get("item") ?? "";
  const changed = visitor !== state.visitor;
  if (changed) {
    state.visitor = visitor;
    state.session = api.freshId("s-");
    state.shown = [];
    byId("visitor-input").value = visitor;
    panel.visitor = visitor;
  }
  const looks = product !== "" && (product !== state.product || changed);
  state.product = product;
  await showProduct(product);
  if (looks) {
    const clicked = state.shown.includes(product) && state.token
      ? [{ kind: "recommendation_click", itemId: product, placement: state.placement, attributionToken: state.token }]
      : [];
    await send([...clicked, { kind: "product_view", itemId: product }]);
  } else {
    await refresh();
  }
  if (product !== "" && !changed) {
    byId("product-title").focus({ preventScroll: true });
    scrollTo({ top: 0, behavior: "smooth" });
  }
}

function newcomer() {
  state.newcomer = api.freshId("visitor-").slice(0, 14);
  return state.newcomer;
}

async function showProduct(id) {
  byId("product").hidden = id === "";
  byId("product-back").href = here({ item: "" });
  if (id === "") {
    document.title = "Impulse";
    return;
  }
  const item = await api.item(id);
  const title = item.title || id;
  document.title = `${title} · Impulse`;
  byId("product-picture").replaceChildren(picture(item));
  byId("product-categories").textContent = (item.categories ?? []).join(" / ");
  byId("product-title").textContent = title;
  byId("product-brand").textContent = item.brand ?? "";
  byId("product-price").textContent = money(item.price, item.currency);
  byId("product-stock").textContent = item.available === false ? "Sold out" : item.stock ? `${item.stock} in stock` : "";
  byId("product-add").disabled = item.available === false;
}

// What the visitor does.

async function send(events) {
  const shopper = api.shopper(state.visitor);
  const full = events.map((event) => {
    const eventId = api.freshId("page-");
    state.own.add(eventId);
    return { eventId, ...shopper, sessionId: state.session, ...event };
  });
  await guarded(async () => {
    const answer = await api.recordEvents(full);
    const refused = (answer.results ?? []).find((result) => String(result.status).endsWith("REJECTED"));
    if (refused) {
      notify(`The server refused the event: ${refused.detail || refused.reason}`);
    }
    state.position = answer.position;
    state.newcomer = "";
    await refresh({ acted: true });
  });
  if (state.own.size > 500) {
    state.own.clear();
  }
}

async function add(item) {
  announce(`Added ${item.title || item.itemId} to the cart`);
  await send([{ kind: "add_to_cart", itemId: item.itemId, quantity: 1, price: item.price, currency: item.currency }]);
}

async function remove(item, line) {
  await send([{
    kind: "remove_from_cart", itemId: item.itemId, quantity: line.quantity ?? 1,
    price: line.price ?? item.price, currency: state.cart?.currency || item.currency,
  }]);
}

async function purchase() {
  const lines = state.cart?.items ?? [];
  if (lines.length === 0) {
    return;
  }
  announce("Bought");
  await send([{
    kind: "purchase", items: lines, revenue: state.cart.value ?? 0, currency: state.cart.currency || "EUR",
    orderId: api.freshId("o-"),
  }]);
}

// What the page shows of it.

async function refresh({ acted = false } = {}) {
  state.turn += 1;
  const turn = state.turn;
  const placement = state.product ? "product" : "home";
  const query = {
    placement,
    ...api.shopper(state.visitor),
    contextItems: state.product ? [state.product] : [],
    limit: SHOWN[placement],
    minPosition: state.position,
  };
  await guarded(async () => {
    const [answer, known] = await Promise.all([
      api.recommend(query),
      state.visitor === state.newcomer ? null : api.profile(state.visitor, state.position),
    ]);
    if (turn !== state.turn) {
      return;
    }
    time.observe(Date.parse(answer.asOf));
    showAnswer(answer, placement);
    state.cart = known?.profile?.cart;
    await Promise.all([
      showProfile(known?.profile, { now: time.now(), href: hrefOf }),
      showCart(state.cart, { remove }),
    ]);
    if (acted) {
      impressed(answer);
      await refreshEpisodes();
    }
  });
}

function showAnswer(answer, placement) {
  const items = answer.items ?? [];
  for (const entry of items) {
    if (entry.item) {
      api.remember(entry.item);
    }
  }
  const before = placement === state.placement ? state.shown : [];
  showRecommendations(byId("grid"), items, before, { add, href: hrefOf });
  showLegend(byId("legend"), items);
  state.shown = items.map((entry) => entry.itemId);
  state.placement = placement;
  state.token = answer.attributionToken ?? "";
  byId("recommendations-title").textContent = placement === "product" ? "Goes with it" : "For you";
  const personal = answer.personalized ? "From what this visitor did" : "Nothing personal yet";
  byId("recommendations-note").textContent = `${personal} · answered in ${micros(Number(answer.tookUs ?? 0))}`;
}

const impressions = new Set();

/// Tells the server once which items a visitor who acts was shown.
function impressed(answer) {
  const fresh = state.shown.filter((id) => !impressions.has(`${state.session} ${id}`));
  for (const id of fresh) {
    impressions.add(`${state.session} ${id}`);
  }
  if (fresh.length === 0) {
    return;
  }
  const shopper = api.shopper(state.visitor);
  const events = fresh.map((itemId) => {
    const eventId = api.freshId("page-");
    state.own.add(eventId);
    return {
      eventId, ...shopper, sessionId: state.session, kind: "recommendation_impression", itemId,
      placement: state.placement, attributionToken: answer.attributionToken,
    };
  });
  api.recordEvents(events).catch(() => {});
}

async function refreshEpisodes() {
  const answer = await api.episodes(200);
  time.observe(Date.parse(answer.asOf));
  panel.show(answer.episodes ?? []);
}

// What happens in the shop.

const around = new Map();
let aroundDrawn = 0;

function happened(event) {
  const who = event.userId || event.visitorId;
  const said = act(event.kind);
  if (!who || !said) {
    return;
  }
  if (who === state.visitor) {
    if (!state.own.delete(event.eventId)) {
      soon();
    }
    return;
  }
  around.delete(who);
  around.set(who, said);
  while (around.size > 40) {
    around.delete(around.keys().next().value);
  }
  const list = byId("around");
  const busy = list.matches(":hover, :focus-within");
  const pause = list.childElementCount < AROUND_MAX ? 500 : 5_000;
  if (!busy && performance.now() - aroundDrawn > pause) {
    aroundDrawn = performance.now();
    drawAround(list);
  }
}

function drawAround(list) {
  // People with a cart are the ones worth watching.
  const all = [...around].reverse();
  const carts = all.filter(([, said]) => /cart|check/.test(said));
  const shown = [...carts, ...all.filter((one) => !carts.includes(one))].slice(0, AROUND_MAX);
  keyed(list, shown, ([who]) => who, ([who]) => {
    const button = make("button", "", who);
    button.type = "button";
    button.addEventListener("click", () => {
      location.hash = here({ as: who, item: "" });
    });
    return make("li", "", button);
  }, (row, [who, said]) => {
    row.firstElementChild.title = `${who} ${said}`;
  });
}

let waits = false;

/// Refreshes within a moment, however many events ask for it.
function soon() {
  if (!waits) {
    waits = true;
    setTimeout(() => {
      waits = false;
      refresh();
    }, 600);
  }
}

/// The last records of the trigger log; the stream brings those that follow.
async function lastTriggers() {
  const { newest } = await api.triggers(1, 1);
  const page = await api.triggers(Math.max(1, Number(newest ?? 0) - LAST_TRIGGERS + 1), LAST_TRIGGERS);
  for (const trigger of page.triggers ?? []) {
    panel.record(trigger, { old: true });
  }
}

function triggered(trigger) {
  panel.record(trigger);
  if (trigger.userId === state.visitor) {
    soon();
  }
}

function figures(stats) {
  time.observe(Date.parse(stats.asOf ?? stats.watermark), Number(stats.speed));
  const say = (id, text) => {
    byId(id).textContent = text;
  };
  say("figure-events", count(Number(stats.eventsPerSecond ?? 0)));
  say("figure-answers", count(Number(stats.answers ?? 0)));
  say("figure-median", micros(Number(stats.tookUsP50 ?? 0)));
  say("figure-tail", micros(Number(stats.tookUsP99 ?? 0)));
}

function tick() {
  const now = time.now();
  if (now !== undefined) {
    const speed = Math.round(time.speed);
    byId("figure-time").textContent = dayAndTime(now) + (speed > 1 ? `, ${speed}×` : "");
    byId("figure-watermark").textContent = clock(now);
  }
  panel.tick();
}

// Trouble and announcements.

async function guarded(work) {
  try {
    await work();
    notify("");
  } catch (error) {
    notify(error instanceof api.Refused ? error.message : "The server does not answer. Trying again.");
    setTimeout(soon, 2_000);
  }
}

function notify(text) {
  byId("notice").hidden = text === "";
  byId("notice").textContent = text;
}

function announce(text) {
  byId("announcer").textContent = text;
}

// Begin.

byId("visitor-form").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = here({ as: byId("visitor-input").value.trim(), item: "" });
});
byId("visitor-input").addEventListener("change", () => byId("visitor-form").requestSubmit());
byId("visitor-new").addEventListener("click", () => {
  location.hash = here({ as: newcomer(), item: "" });
});
byId("product-add").addEventListener("click", async () => add(await api.item(state.product)));
byId("product-wish").addEventListener("click", () => send([{ kind: "wishlist_add", itemId: state.product }]));
byId("cart-buy").addEventListener("click", purchase);
byId("profile-messages").addEventListener("change", (event) => {
  send([{ kind: "consent_change", consent: { marketing: event.target.checked } }]);
});
addEventListener("hashchange", arrive);

api.follow({
  event: happened,
  trigger: triggered,
  stats: figures,
  open: () => {
    notify("");
    lastTriggers().catch(() => {});
  },
  lost: () => notify("The stream of events is interrupted. It comes back by itself."),
});
setInterval(tick, 250);
setInterval(() => refreshEpisodes().catch(() => {}), 2_000);
arrive();
