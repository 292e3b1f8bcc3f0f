// Small helpers over the document: every text goes in as text, never as markup.

export function byId(id) {
  return document.getElementById(id);
}

/// An element with a class and children; strings become text.
export function make(name, className, ...children) {
  const made = document.createElement(name);
  if (className) {
    made.className = className;
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/// Brings `parent` in line with `entries`, keeping the elements whose key stays, so that focus stays too.
/// `create(entry)` makes an element, `update(element, entry)` fills it.
export function keyed(parent, entries, key, create, update) {
  const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const entry of entries) {
    const name = String(key(entry));
    let element = old.get(name);
    if (element) {
      old.delete(name);
    } else {
      element = create(entry);
      element.dataset.key = name;
    }
    update(element, entry);
    if (element === next) {
      next = next.nextElementSibling;
    } else {
      parent.insertBefore(element, next);
    }
  }
  for (const element of old.values()) {
    element.remove();
  }
}
