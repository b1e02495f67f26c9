// Elements of the document: made, changed only where something is new, drawn.

const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Touches nothing that is right already: no layout, and no screen reader begins anew. */
function text(node, wanted) {
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Makes the children of `parent` those of `items`, in their order; who was there under the same key stays. */
function children(parent, items, key, make, fill) {
  const keys = new Set(items.map(key));
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  for (const [name, child] of old) if (!keys.has(name)) child.remove();
  let place = parent.firstElementChild;
  items.forEach((item, i) => {
    const child = old.get(key(item, i)) ?? make(item);
    child.dataset.key = key(item, i);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    fill(child, item);
  });
}

function spark(series) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const one of series) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    if (one.below) path.setAttribute("class", "below");
    svg.append(path);
  }
  return svg;
}

/** The newest point is at the right edge; `floor` keeps small noise small. */
function draw(svg, chart, history, points) {
  const drawn = `${history.next} ${points}`;
  if (svg.dataset.drawn === drawn) return;
  svg.dataset.drawn = drawn;
  svg.setAttribute("viewBox", `0 -1 ${points - 1} 102`);
  const top = Math.max(chart.floor, ...chart.series.map((one) => peak(history[one.of])));
  chart.series.forEach((one, i) => {
    const values = history[one.of];
    const at = (value, j) => `${points - values.length + j} ${(100 - (100 * (value ?? 0)) / top).toFixed(1)}`;
    svg.children[i].setAttribute("d", values.length > 1 ? `M${values.map(at).join("L")}` : "");
  });
}

const peak = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);

