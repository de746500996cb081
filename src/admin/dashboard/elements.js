// Makes elements and changes what has changed in them. Text is set as text and never as markup: names of
// users and backends, and what stands in the log, come from outside.

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className !== "") made.className = className;
  made.append(...children);
  return made;
}

/**
 * The one with this id, which the page has.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (found === null || (kind !== undefined && !(found instanceof kind))) throw new Error(`no #${id}`);
  return /** @type {T} */ (found);
}

/**
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {HTMLElement} node
 * @param {string} name of a data attribute
 * @param {string} value
 */
export function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/**
 * @param {string} label
 * @param {() => void} onClick
 * @param {string} [className]
 */
export function button(label, onClick, className = "") {
  const made = element("button", className, label);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/**
 * What one item of a list looks like.
 * @template Item
 * @typedef {{ node: HTMLElement, update: (item: Item) => void }} View
 */

/**
 * Keeps a view for each item of a list: those that stay keep their element, with the focus and the selection
 * in it.
 * @template Item
 */
export class ViewList {
  /** @type {Map<string, View<Item>>} */
  #views = new Map();
  #container;
  #keyOf;
  #create;

  /**
   * @param {HTMLElement} container holds nothing else
   * @param {(item: Item) => string} keyOf
   * @param {(item: Item) => View<Item>} create
   */
  constructor(container, keyOf, create) {
    this.#container = container;
    this.#keyOf = keyOf;
    this.#create = create;
  }

  /** @param {readonly Item[]} items in their order */
  update(items) {
    const gone = new Set(this.#views.keys());
    /** @type {ChildNode | null} */
    let next = this.#container.firstChild;
    for (const item of items) {
      const key = this.#keyOf(item);
      gone.delete(key);
      const view = this.#views.get(key) ?? this.#add(key, item);
      view.update(item);
      if (view.node === next) next = next.nextSibling;
      else this.#container.insertBefore(view.node, next);
    }
    for (const key of gone) {
      this.#views.get(key)?.node.remove();
      this.#views.delete(key);
    }
  }

  /**
   * @param {string} key
   * @param {Item} item
   */
  #add(key, item) {
    const view = this.#create(item);
    this.#views.set(key, view);
    return view;
  }
}
