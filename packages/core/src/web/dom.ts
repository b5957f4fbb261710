/** The little of the DOM that is used here. Its whole type library would let every file of core believe it runs in a browser. */
export type DomNode = {
  nodeType: number;
  nodeValue: string | null;
  parentNode: DomNode | null;
  firstChild: DomNode | null;
  nextSibling: DomNode | null;
};

export type DomElement = DomNode & {
  tagName: string;
  textContent: string | null;
  children: ArrayLike<DomElement>;
  parentElement: DomElement | null;
  firstElementChild: DomElement | null;
  nextElementSibling: DomElement | null;
  previousElementSibling: DomElement | null;
  getAttribute: (name: string) => string | null;
  remove: () => void;
};

export type DomDocument = {
  documentElement: DomElement | null;
  body: DomElement | null;
  querySelector: (selector: string) => DomElement | null;
  querySelectorAll: (selector: string) => Iterable<DomElement>;
};

/** Node types of the DOM. */
export const ELEMENT = 1;
export const TEXT = 3;
