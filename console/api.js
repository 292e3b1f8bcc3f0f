// Speaks to the server: JSON over HTTP, and one stream of what happens.

/// A refusal of the server, with its status code and its own words.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, body) {
  const options = { headers: { accept: "application/json" } };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refused(response.status, answer.error?.message ?? `${path} answered ${response.status}`);
  }
  return answer;
}

/// Who a request is for: ids that look anonymous go in as such.
export function shopper(id) {
  return isAnonymous(id) ? { visitorId: id } : { userId: id };
}

export function isAnonymous(id) {
  return id.startsWith("visitor-");
}

/// An id that nobody else makes.
export function freshId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return prefix + Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}

export function recordEvents(events) {
  return request("/v1/events", { events });
}

export function recommend(query) {
  return request("/v1/recommendations:query", { ...query, returnFields: ["*"] });
}

/// The profile and its freshness, or null of a visitor that nothing is known of.
export async function profile(id, minPosition) {
  const from = minPosition ? `?minPosition=${encodeURIComponent(minPosition)}` : "";
  try {
    return await request(`/v1/users/${encodeURIComponent(id)}/profile${from}`);
  } catch (error) {
    if (error.status === 404) {
      return null;
    }
    throw error;
  }
}

export function episodes(limit) {
  return request(`/v1/episodes?limit=${limit}`);
}

export function triggers(from, limit) {
  return request(`/v1/triggers?from=${from}&limit=${limit}`);
}

const items = new Map();
const ITEMS_MAX = 2_000;

/// Remembers an item that came with an answer.
export function remember(item) {
  if (items.size >= ITEMS_MAX) {
    items.delete(items.keys().next().value);
  }
  items.set(item.itemId, Promise.resolve(item));
}

/// An item; of one that cannot be had its id alone.
export function item(id) {
  if (!items.has(id)) {
    const asked = request(`/v1/items/${encodeURIComponent(id)}`)
      .then((answer) => answer.item ?? { itemId: id })
      .catch(() => ({ itemId: id }));
    if (items.size >= ITEMS_MAX) {
      items.delete(items.keys().next().value);
    }
    items.set(id, asked);
  }
  return items.get(id);
}

/// Calls `on.event`, `on.trigger` and `on.stats` with what the stream says, `on.open` and `on.lost` as it comes and
/// goes. The browser connects again by itself.
export function follow(on) {
  const source = new EventSource("/v1/stream");
  for (const name of ["event", "trigger", "stats"]) {
    source.addEventListener(name, (message) => {
      let said;
      try {
        said = JSON.parse(message.data);
      } catch {
        return;
      }
      on[name](said);
    });
  }
  source.addEventListener("open", on.open);
  source.addEventListener("error", on.lost);
}
