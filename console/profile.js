// What is known of the visitor, and their cart.

import { item as itemOf } from "./api.js";
import { byId, keyed, make } from "./dom.js";
import { picture } from "./picture.js";
import { capital, count, duration, money, plural } from "./words.js";

const VIEWED_MAX = 6;

/// Shows a profile, or that there is none. `href(item)` is where an item's link leads.
export async function showProfile(profile, { now, href }) {
  byId("profile").hidden = !profile;
  byId("profile-empty").hidden = Boolean(profile);
  byId("profile-note").textContent = profile ? plural(Number(profile.events ?? 0), "event", "events") : "";
  if (!profile) {
    return;
  }
  const loyalty = profile.loyaltyScore ?? 0;
  byId("profile-loyalty").value = loyalty;
  byId("profile-loyalty-text").textContent = String(loyalty);
  byId("profile-band").textContent = profile.avgPriceRange ? capital(profile.avgPriceRange) : "Not known yet";
  byId("profile-orders").textContent = profile.orders
    ? `${count(profile.orders)}, ${money(profile.revenue ?? 0, profile.cart?.currency || "EUR")}`
    : "None";
  byId("profile-session").textContent = session(profile.session, now);
  byId("profile-messages").checked = profile.consent?.marketing !== false;
  shares(byId("profile-categories"), profile.categoryAffinities ?? []);
  shares(byId("profile-brands"), (profile.brandAffinities ?? []).slice(0, 3));
  const viewed = await Promise.all((profile.lastViewedIds ?? []).slice(0, VIEWED_MAX).map(itemOf));
  keyed(byId("profile-viewed"), viewed, (item) => item.itemId, (item) => make("li", "", make("a", "", picture(item))), (row, item) => {
    row.firstElementChild.href = href(item);
    row.firstElementChild.title = item.title || item.itemId;
    row.firstElementChild.setAttribute("aria-label", item.title || item.itemId);
  });
}

function session(view, now) {
  if (!view) {
    return "None";
  }
  const events = plural(view.events ?? 0, "event", "events");
  const last = Date.parse(view.lastEventAt);
  return view.open || now === undefined || !Number.isFinite(last)
    ? `Open, ${events}`
    : `${duration(Math.max(now - last, 0))} ago`;
}

function shares(list, affinities) {
  keyed(
    list,
    affinities,
    (affinity) => affinity.name,
    (affinity) => make("li", "", make("span", "", capital(affinity.name)), make("span", "left", make("i", "")), make("b", "")),
    (row, affinity) => {
      const share = affinity.share ?? 0;
      row.querySelector("i").style.transform = `scaleX(${Math.min(share, 1).toFixed(3)})`;
      row.querySelector("b").textContent = `${Math.round(share * 100)} %`;
    },
  );
}

/// Shows the cart; `remove(item, line)` is called to take a line out.
export async function showCart(cart, { remove }) {
  const lines = cart?.items ?? [];
  byId("cart-value").textContent = lines.length > 0 ? money(cart.value ?? 0, cart.currency) : "";
  byId("cart-empty").hidden = lines.length > 0;
  byId("cart-buy").hidden = lines.length === 0;
  const items = await Promise.all(lines.map((line) => itemOf(line.itemId)));
  const entries = lines.map((line, place) => ({ line, item: items[place] }));
  keyed(byId("cart-lines"), entries, ({ item }) => item.itemId, makeLine, (row, { item, line }) => {
    const title = item.title || item.itemId;
    const quantity = line.quantity ?? 1;
    row.querySelector(".what").textContent = quantity > 1 ? `${quantity} × ${title}` : title;
    row.querySelector(".price").textContent = money((line.price ?? item.price ?? 0) * quantity, cart.currency || item.currency);
    const button = row.querySelector("button");
    button.setAttribute("aria-label", `Remove ${title}`);
    button.onclick = () => remove(item, line);
  });
}

function makeLine({ item }) {
  const button = make("button", "", "×");
  button.type = "button";
  return make("li", "", make("span", "", picture(item)), make("span", "what"), make("span", "price"), button);
}
