// Values in words: money, times, what happened and why.

const moneyFormats = new Map();

export function money(amount, currency) {
  if (amount === undefined || amount === null) {
    return "";
  }
  const key = currency || "";
  if (!moneyFormats.has(key)) {
    moneyFormats.set(key, moneyFormat(key));
  }
  return moneyFormats.get(key).format(amount);
}

function moneyFormat(currency) {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency });
  } catch {
    return new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  }
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(number) {
  return whole.format(number);
}

export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/// Microseconds as milliseconds, with as many digits as one can care for.
export function micros(us) {
  const ms = us / 1000;
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

export function clock(ms) {
  return clockFormat.format(ms);
}

export function dayAndTime(ms) {
  return dayFormat.format(ms).replace(",", "");
}

/// A duration in the two units that matter.
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) {
    return `${seconds} s`;
  }
  if (seconds < 3600) {
    return `${Math.round(seconds / 60)} min`;
  }
  if (seconds < 172_800) {
    const minutes = Math.round((seconds % 3600) / 60);
    return minutes > 0 && minutes < 60 ? `${Math.floor(seconds / 3600)} h ${minutes} min` : `${Math.round(seconds / 3600)} h`;
  }
  return `${Math.round(seconds / 86_400)} days`;
}

/// `0:09` of a countdown.
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const rest = String(seconds % 60).padStart(2, "0");
  if (seconds < 3600) {
    return `${Math.floor(seconds / 60)}:${rest}`;
  }
  return `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}:${rest}`;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const ACTS = {
  product_view: "looks at a product", product_list_view: "looks at a list", product_click: "clicks a product",
  search_query: "searches", filter_selection: "filters a list", add_to_cart: "adds to cart",
  remove_from_cart: "removes from cart", cart_view: "looks at the cart", cart_update: "cart changed",
  checkout_start: "checks out", purchase: "has bought", refund: "returns something", wishlist_add: "wishes",
  recommendation_click: "clicks a recommendation", identify: "logs in",
};

/// What an event is, in words; undefined for those that are not worth a word.
export function act(kind) {
  return ACTS[String(kind).replace(/^EVENT_KIND_/, "").toLowerCase()];
}

const REASONS = {
  CO_PURCHASED: "Bought together", CO_VIEWED: "Seen together", SESSION_SIMILAR: "Sessions like this one",
  TRENDING: "Popular now", AFFINITY: "Taste", CONTENT_SIMILAR: "Alike", BUY_AGAIN: "Buy again",
  RECENTLY_VIEWED: "Seen lately", PROMOTED: "Promoted", PINNED: "Pinned", EXPLORATION: "Exploration",
  COLD_START: "Nothing known yet",
};

export function reasonCode(code) {
  return String(code ?? "").replace(/^REASON_CODE_/, "") || "COLD_START";
}

export function reasonName(code) {
  return REASONS[reasonCode(code)] ?? "Other";
}

/// The class that colours a reason.
export function reasonClass(code) {
  return `reason-${reasonCode(code).toLowerCase().replaceAll("_", "-")}`;
}

const WHY = {
  inactivity: "left alone", purchased: "bought in time", cart_emptied: "emptied the cart",
  below_minimum_value: "cart too small", no_consent: "wants no messages", stale: "too late to be of use",
};

/// The kind of a trigger record and what it means.
export function triggerWords(trigger) {
  const kind = String(trigger.kind ?? "").replace(/^TRIGGER_KIND_/, "").toLowerCase();
  const why = WHY[trigger.reason] ?? String(trigger.reason ?? "").replaceAll("_", " ");
  switch (kind) {
    case "fire":
      return { kind, tag: "Fired", why };
    case "cancel":
      return { kind, tag: "Taken back", why: `${why}; heard of too late` };
    case "suppressed":
      return { kind, tag: trigger.reason === "purchased" ? "Cancelled" : "Suppressed", why };
    default:
      return { kind, tag: "Expired", why };
  }
}

/// `cart_abandonment` as people say it.
export function ruleName(rule) {
  return capital(String(rule ?? "").replaceAll("_", " "));
}
