// A map of pictures: points on a canvas that pan, zoom and tell what they are. Reports and the search page share it.

const COLOURS = {
  light: ["#0067a8", "#c96a00", "#00795f", "#b03a2e", "#7a4fb5", "#8c6d1f", "#c2449a", "#007f94", "#5b7d00", "#4a5560"],
  dark: ["#6bb8ee", "#f0b04f", "#4fcba9", "#f58a7d", "#b9a1f5", "#d9cc5c", "#ee9bd0", "#5fd3e6", "#a8d46f", "#dfe3e8"],
};
const SHADES = {
  light: ["#1f3b73", "#00719b", "#009b84", "#7fae2f", "#e0a400"],
  dark: ["#4f6fc4", "#1fa2c9", "#2fc7a4", "#a9d65c", "#ffe08a"],
};
const STEPS = 32; // shades of a field of numbers
const LISTED = 1000; // categories that can be chosen
const NEAR = 16; // pixels between a pointer and the point that is meant
const FEW = 150; // points in view, up to which pictures stand on them
const SIDE = 60; // pixels of such a picture
const KEPT = 600; // pictures that are kept
const MARGIN = 48; // pixels around the image, so that no point has to be cut
const DEEPEST = 100; // zoom
const MOVED = 5; // pixels, from which a click is a drag
const BREAKS = /[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HOW = "Drag to move, turn the wheel or pinch to zoom, point at a picture to see it.";
const KEYS = "Keys: arrows go to the next picture, Shift with arrows moves the map, plus and minus zoom, 0 shows all, "
  + "Enter opens the picture, Space selects it, V selects all in view, Escape closes.";

const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 3 });
const many = (count, one, several) => `${number(count)} ${count === 1 ? one : several}`;
const worded = (value) => (value === true ? "yes" : value === false ? "no" : Array.isArray(value) ? value.join(", ") : String(value));
const missing = (value) => value === null || value === undefined || value === "";
const measured = (kind) => ["whole", "decimal", "date"].includes(kind);

function element(tag, style = "", text = "") {
  const made = document.createElement(tag);
  if (style) made.className = style;
  if (text) made.textContent = text;
  return made;
}

function button(text, name, click) {
  const made = element("button", "", text);
  made.type = "button";
  if (name) made.setAttribute("aria-label", name);
  made.addEventListener("click", click);
  return made;
}

function labelled(text, control) {
  const made = element("label", "", text);
  made.append(control);
  return made;
}

/** The pixels of a disc with a rim, as steps from its middle in an image of a width, and how much of each is colour. */
function disc(radius, width) {
  const reach = Math.ceil(radius + 1);
  const [steps, shares] = [[], []];
  for (let down = -reach; down <= reach; down++) {
    for (let across = -reach; across <= reach; across++) {
      const beyond = Math.hypot(across, down) - radius;
      if (beyond > 0.9) continue;
      steps.push(down * width + across);
      shares.push(Math.max(0, Math.min(1, 0.5 - beyond)));
    }
  }
  return { steps: Int32Array.from(steps), shares };
}

/** The disc in a colour. Writing its pixels takes a hundredth of the time of drawing circles. */
function inked({ shares }, colour, rim) {
  const mix = (share, shift) => Math.round(share * ((colour >>> shift) & 255) + (1 - share) * ((rim >>> shift) & 255)) << shift;
  return Uint32Array.from(shares, (share) => (0xff000000 | mix(share, 16) | mix(share, 8) | mix(share, 0)) >>> 0);
}

/** Which part of the plane is seen: (x, y) of it is in the middle, a unit takes `scale` pixels. */
class View {
  constructor(x, y) {
    this.bounds = [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
    Object.assign(this, { x: 0, y: 0, scale: 1, width: 1, height: 1, zoomed: 1 });
  }

  get whole() {
    const [left, right, top, bottom] = this.bounds;
    return 0.92 * Math.min(this.width / (right - left || 1), this.height / (bottom - top || 1));
  }

  fit() {
    const [left, right, top, bottom] = this.bounds;
    Object.assign(this, { x: (left + right) / 2, y: (top + bottom) / 2, zoomed: 1, scale: this.whole });
  }

  resize(width, height) {
    Object.assign(this, { width, height });
    this.scale = this.whole * this.zoomed;
  }

  across(x) { return (x - this.x) * this.scale + this.width / 2; }
  down(y) { return (y - this.y) * this.scale + this.height / 2; }

  move(right, down) {
    this.x -= right / this.scale;
    this.y -= down / this.scale;
  }

  /** Zoom about a place of the screen. */
  zoom(factor, across = this.width / 2, down = this.height / 2) {
    const before = this.scale;
    this.zoomed = Math.max(0.5, Math.min(DEEPEST, this.zoomed * factor));
    this.scale = this.whole * this.zoomed;
    this.x += (across - this.width / 2) * (1 / before - 1 / this.scale);
    this.y += (down - this.height / 2) * (1 / before - 1 / this.scale);
  }

  holds(across, down, margin = 0) {
    return across > -margin && down > -margin && across < this.width + margin && down < this.height + margin;
  }
}

/** A code for each point, what each code stands for, and what to say of it. From code `pale` on, colours are shared or
 *  say that nothing is known. */
function colouring(values, kind) {
  return measured(kind) ? shaded(values, kind) : categorised(values);
}

function categorised(values) {
  const counts = new Map();
  for (const value of values) if (!missing(value)) counts.set(worded(value), (counts.get(worded(value)) ?? 0) + 1);
  const order = new Intl.Collator("en", { numeric: true });
  const categories = [...counts].sort((one, other) => other[1] - one[1] || order.compare(one[0], other[0]));
  const most = COLOURS.light.length;
  const codes = new Map(categories.map(([name], place) => [name, place < most ? place : most + (place % most)]));
  const others = categories.slice(most).reduce((sum, [, count]) => sum + count, 0);
  return {
    codes: Uint8Array.from(values, (value) => (missing(value) ? 2 * most : codes.get(worded(value)))),
    pale: most,
    categories,
    coloured: categories.slice(0, most),
    rest: others,
    unknown: values.filter(missing).length,
    note: categories.length > most
      ? `${categories.length} categories: the ${most} largest have a colour of their own, the other ${number(categories.length - most)} share pale colours. “Highlight” shows any of them.`
      : "",
  };
}

/** By rank: as many points in each shade, however far the largest number is from the others. */
function shaded(values, kind) {
  const numbers = values.map((value) => (missing(value) ? NaN : kind === "date" ? Date.parse(value) : Number(value)));
  const known = Float64Array.from(numbers.filter((value) => !Number.isNaN(value))).sort();
  const text = (place) => (known.length ? ends(values[numbers.indexOf(known.at(place))], kind) : "");
  return {
    codes: Uint8Array.from(numbers, (value) => (Number.isNaN(value) ? STEPS : Math.floor((STEPS * below(known, value)) / known.length))),
    pale: STEPS,
    categories: [],
    range: [text(0), text(known.length >> 1), text(-1)],
    rest: 0,
    unknown: values.length - known.length,
    note: known.length ? "Least, middle and most. Each shade has as many pictures as any other." : "",
  };
}

/** How many of some sorted numbers are less than one of them. */
function below(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const ends = (value, kind) => (kind === "date" ? String(value).slice(0, 10) : number(value));

function mixed(stops, place) {
  const at = place * (stops.length - 1);
  const [one, other] = [stops[Math.floor(at)], stops[Math.ceil(at)]];
  const part = (i) => Math.round(parseInt(one.slice(i, i + 2), 16) * (1 - (at % 1)) + parseInt(other.slice(i, i + 2), 16) * (at % 1));
  return `rgb(${part(1)} ${part(3)} ${part(5)})`;
}

function inside(path, x, y) {
  let odd = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [[x1, y1], [x2, y2]] = [path[i], path[j]];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
  }
  return odd;
}

/** @param root an empty element
 *  @param points `ids`, `x` and `y` of each; `fields` with `name`, `title` and `kind`; and functions:
 *    `values(name)` promises a field's value for each point, `title(i)` names one,
 *    `picture(i)` promises {image, x, y, width, height}, or null where there is none,
 *    `link(i)` is the address that searches from it, or null. `file` is what the list of ids is called. */
export class PictureMap {
  constructor(root, points) {
    Object.assign(this, { root, points, count: points.ids.length });
    this.view = new View(points.x, points.y);
    this.selected = new Uint8Array(this.count);
    this.pictures = new Map(); // point → what to draw; undefined while it is fetched
    this.at = null; // the point that is shown
    this.pinned = false;
    this.highlighted = null;
    this.pointers = new Map();
    this.path = null; // of the lasso
    this.build();
    this.listen();
    root.map = this;
  }

  async start() {
    this.resize();
    this.view.fit();
    await this.colourBy(this.points.fields[0]?.name);
    return this;
  }

  // --- what is on the page ---

  build() {
    this.field = element("select");
    for (const { name, title } of this.points.fields) this.field.append(new Option(title, name));
    this.category = element("select");
    this.lasso = button("Select", "", () => this.setLasso(!this.selecting));
    this.lasso.title = "Draw around pictures to select them; Shift does the same";
    this.lasso.setAttribute("aria-pressed", "false");
    const tools = element("div", "map-tools");
    const fields = this.points.fields.length ? [labelled("Colour by", this.field)] : [];
    this.highlight = labelled("Highlight", this.category);
    const buttons = element("div", "map-buttons");
    buttons.append(
      this.lasso,
      button("Select view", "Select all pictures in view", () => this.selectView()),
      button("+", "Zoom in", () => this.zoom(1.6)),
      button("−", "Zoom out", () => this.zoom(1 / 1.6)),
      button("All", "Show all pictures", () => this.showAll()),
    );
    tools.append(...fields, this.highlight, buttons);

    this.canvas = element("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.help = element("p", "unseen", `${many(this.count, "picture", "pictures")}, each a point. The nearer two lie, the more alike they are to the model. ${KEYS}`);
    this.help.id = `map-help-${document.querySelectorAll(".map").length}`;
    const attributes = { tabindex: 0, role: "application", "aria-label": "Map of pictures", "aria-describedby": this.help.id };
    for (const [name, value] of Object.entries(attributes)) this.canvas.setAttribute(name, value);
    this.spoken = element("p", "unseen");
    this.spoken.setAttribute("aria-live", "polite");
    this.frame = element("div", "map-frame");
    this.frame.append(this.canvas, this.buildCard());
    this.legend = element("ul", "map-legend");
    this.legend.setAttribute("aria-label", "Colours");
    this.note = element("p", "note");
    this.root.classList.add("map");
    this.root.replaceChildren(tools, this.frame, this.help, this.spoken, this.legend, this.note, this.buildSelection(), this.buildHow());
  }

  buildHow() {
    const keys = element("details");
    keys.append(element("summary", "", "Keyboard"), element("p", "note", KEYS));
    const how = element("div", "map-how");
    how.append(element("p", "note", `${HOW} “Select” draws around pictures.`), keys);
    return how;
  }

  buildCard() {
    this.card = element("div", "map-card");
    this.card.hidden = true;
    this.shown = element("canvas");
    this.shown.width = this.shown.height = 320;
    this.shown.setAttribute("role", "img");
    this.name = element("strong");
    this.id = element("span", "map-id");
    this.value = element("span");
    this.link = element("a", "", "Search from here");
    this.choice = button("Select", "", () => this.toggle(this.at));
    const away = button("Close", "", () => { this.hide(); this.canvas.focus(); });
    const actions = element("div", "map-buttons");
    actions.append(this.link, this.choice, away);
    this.card.append(this.shown, this.name, this.id, this.value, actions);
    return this.card;
  }

  buildSelection() {
    this.chosen = element("div", "map-selection");
    this.chosen.hidden = true;
    this.told = element("p");
    this.told.setAttribute("role", "status");
    this.list = element("textarea");
    this.list.readOnly = true;
    this.list.rows = 4;
    this.list.setAttribute("aria-label", "Ids of the selected pictures");
    this.save = element("a", "", "Download");
    this.save.download = this.points.file;
    const actions = element("div", "map-buttons");
    actions.append(button("Copy", "Copy the ids", () => this.copy()), this.save, button("Clear", "Clear the selection", () => this.clear()));
    this.chosen.append(this.told, actions, this.list);
    return this.chosen;
  }

  listen() {
    this.field.addEventListener("change", () => this.colourBy(this.field.value));
    this.category.addEventListener("change", () => this.highlightOnly(this.category.value || null));
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event, true));
    canvas.addEventListener("pointerleave", () => { if (!this.pinned && !this.pointers.size) this.hide(); });
    canvas.addEventListener("dblclick", (event) => this.zoom(2, ...this.position(event)));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(this.frame);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  resize() {
    const { clientWidth, clientHeight } = this.frame;
    this.ratio = Math.min(2, devicePixelRatio || 1);
    this.canvas.width = Math.round(clientWidth * this.ratio);
    this.canvas.height = Math.round(clientHeight * this.ratio);
    this.view.resize(clientWidth, clientHeight);
    this.image = this.context.createImageData(this.canvas.width + 2 * MARGIN, this.canvas.height + 2 * MARGIN);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.draw();
  }

  // --- colours ---

  async colourBy(field) {
    const kind = this.points.fields.find(({ name }) => name === field)?.kind ?? "text";
    this.asked = field;
    const values = field === undefined ? new Array(this.count).fill("pictures") : await this.points.values(field);
    if (this.asked !== field) return; // another one was chosen meanwhile
    Object.assign(this, { values, colours: colouring(values, kind), highlighted: null });
    this.order = Uint32Array.from(values.keys()).sort((one, other) => this.colours.codes[other] - this.colours.codes[one] || one - other);
    this.listCategories();
    if (this.at !== null) this.value.textContent = this.about(this.at);
    this.recolour();
    this.say();
  }

  listCategories() {
    const { categories } = this.colours;
    const listed = categories.slice(0, LISTED).map(([name, count]) => new Option(`${name} (${number(count)})`, name));
    this.category.replaceChildren(new Option("all", ""), ...listed);
    this.highlight.hidden = categories.length < 2;
  }

  recolour() {
    if (!this.colours) return;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const style = getComputedStyle(this.root);
    const ink = (name) => style.getPropertyValue(name).trim();
    this.paper = ink("--card");
    this.ink = ink("--ink");
    const mode = dark ? "dark" : "light";
    const grey = dark ? "#43484f" : "#d2d5d9";
    const shades = Array.from({ length: STEPS }, (_, step) => mixed(SHADES[mode], step / (STEPS - 1)));
    const pale = COLOURS[mode].map((colour) => mixed([colour, grey], 0.62));
    this.palette = [...(this.colours.range ? shades : [...COLOURS[mode], ...pale]), grey];
    Object.assign(this, { dots: this.palette.map((colour) => this.pixel(colour)), ground: this.pixel(this.paper), bold: this.pixel(this.ink) });
    this.paintLegend();
    this.draw();
  }

  get radius() {
    return Math.min(9, (this.count > 3000 ? 2.4 : this.count > 500 ? 3.4 : 5) * Math.max(1, this.view.zoomed ** 0.3));
  }

  /** A colour as a pixel of the canvas. */
  pixel(colour) {
    this.context.fillStyle = colour;
    const [red, green, blue] = [1, 3, 5].map((place) => parseInt(this.context.fillStyle.slice(place, place + 2), 16));
    return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  }

  paintLegend() {
    const { coloured = [], range, rest, unknown, note } = this.colours;
    const entries = coloured.map(([name, count], place) => this.entry(this.palette[place], name, count, true));
    if (range?.[0]) entries.push(this.bar(range));
    if (rest) entries.push(this.entry(`linear-gradient(to right, ${this.palette.slice(10, 14).join(", ")})`, "others", rest));
    if (unknown && this.points.fields.length) entries.push(this.entry(this.palette.at(-1), "nothing known", unknown));
    this.legend.replaceChildren(...entries);
    this.note.textContent = note;
    this.note.hidden = !note;
  }

  entry(colour, name, count, choice = false) {
    const item = element("li");
    const sign = element("i");
    sign.style.background = colour;
    const text = element(choice ? "button" : "span");
    text.append(sign, element("span", "map-name", name), element("small", "", number(count)));
    if (choice) {
      text.type = "button";
      text.title = name;
      text.setAttribute("aria-pressed", String(this.highlighted === name));
      text.addEventListener("click", () => this.highlightOnly(this.highlighted === name ? null : name));
    }
    item.append(text);
    return item;
  }

  bar([least, middle, most]) {
    const item = element("li", "map-range");
    const bar = element("i");
    bar.style.background = `linear-gradient(to right, ${this.palette.slice(0, STEPS).join(", ")})`;
    item.append(element("span", "", least), bar, element("span", "", most));
    bar.append(element("b", "", middle));
    return item;
  }

  highlightOnly(name) {
    this.highlighted = name;
    this.category.value = name ?? "";
    this.paintLegend();
    this.draw();
    this.speak(name === null ? "Nothing is highlighted." : `${name} is highlighted.`);
  }

  // --- drawing ---

  draw() {
    this.waiting ??= requestAnimationFrame(() => { this.waiting = null; this.paint(); });
  }

  paint() {
    if (!this.dots) return;
    const { context, ratio } = this;
    const radius = this.radius;
    const seen = this.paintPoints(radius);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (seen.length <= FEW) this.paintPictures(seen);
    this.paintRing(radius + 3.5);
    if (this.path) this.paintLasso();
  }

  /** All points in view, of which some are given: one more than `FEW` at most. */
  paintPoints(radius) {
    const { image: { width }, pixels, view, ratio, order, points: { x, y }, colours: { codes } } = this;
    const mask = disc(radius * ratio, width);
    const [plain, chosen] = [this.ground, this.bold].map((rim) => [...this.dots, this.bold].map((colour) => inked(mask, colour, rim)));
    const seen = [];
    pixels.fill(this.ground);
    const put = (i, ink) => {
      const [across, down] = [view.across(x[i]), view.down(y[i])];
      if (!view.holds(across, down, radius)) return;
      if (seen.length <= FEW) seen.push(i);
      const middle = (Math.round(down * ratio) + MARGIN) * width + Math.round(across * ratio) + MARGIN;
      for (let pixel = 0; pixel < ink.length; pixel++) pixels[middle + mask.steps[pixel]] = ink[pixel];
    };
    const ink = (i) => (this.highlighted === null ? codes[i] : this.isHighlighted(i) ? (codes[i] < this.colours.pale ? codes[i] : this.dots.length) : this.dots.length - 1);
    if (this.highlighted !== null) for (const i of order) if (!this.isHighlighted(i)) put(i, plain[ink(i)]);
    for (const i of order) if (this.highlighted === null || this.isHighlighted(i)) put(i, plain[ink(i)]);
    if (this.selection) for (const i of order) if (this.selected[i]) put(i, chosen[ink(i)]);
    this.context.putImageData(this.image, -MARGIN, -MARGIN);
    return seen;
  }

  isHighlighted(i) {
    return !missing(this.values[i]) && worded(this.values[i]) === this.highlighted;
  }

  /** Pictures where there is room, each with a frame in its point's colour. */
  paintPictures(seen) {
    const { context, view, points: { x, y } } = this;
    const taken = [];
    for (const i of seen.reverse()) {
      const [across, down] = [view.across(x[i]), view.down(y[i])];
      if (taken.some(([left, top]) => Math.abs(left - across) < SIDE + 6 && Math.abs(top - down) < SIDE + 6)) continue;
      const drawn = this.wanted(i);
      if (!drawn) continue;
      taken.push([across, down]);
      const scale = SIDE / Math.max(drawn.width, drawn.height);
      const [width, height] = [drawn.width * scale, drawn.height * scale];
      context.fillStyle = this.palette[this.colours.codes[i]];
      context.fillRect(across - width / 2 - 2, down - height / 2 - 2, width + 4, height + 4);
      context.drawImage(drawn.image, drawn.x, drawn.y, drawn.width, drawn.height, across - width / 2, down - height / 2, width, height);
    }
  }

  /** A picture to draw, if it is there; else it is fetched, and the map drawn again. */
  wanted(i) {
    if (this.pictures.has(i)) return this.pictures.get(i);
    this.pictures.set(i, undefined);
    if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
    this.points.picture(i).catch(() => null).then((drawn) => {
      this.pictures.set(i, drawn);
      this.draw();
      if (this.at === i) this.paintShown();
    });
    return undefined;
  }

  /** Around the point that is shown. */
  paintRing(radius) {
    if (this.at === null) return;
    const { context } = this;
    context.strokeStyle = this.ink;
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(...this.place(this.at), radius, 0, 2 * Math.PI);
    context.stroke();
  }

  paintLasso() {
    const { context } = this;
    context.beginPath();
    this.path.forEach(([across, down], place) => (place ? context.lineTo(across, down) : context.moveTo(across, down)));
    context.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = context.strokeStyle = this.ink;
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  // --- pointing ---

  position(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** Where a point is on the canvas. */
  place(i) {
    return [this.view.across(this.points.x[i]), this.view.down(this.points.y[i])];
  }

  nearest(across, down, within = NEAR) {
    let [best, least] = [null, within ** 2];
    for (let i = 0; i < this.count; i++) {
      const [x, y] = this.place(i);
      const distance = (x - across) ** 2 + (y - down) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  press(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.position(event));
    this.far = this.pointers.size > 1 ? Infinity : 0;
    const drawing = (this.selecting || event.shiftKey) && this.pointers.size === 1;
    this.path = drawing ? [this.position(event)] : null;
  }

  drag(event) {
    const [across, down] = this.position(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch" && !this.pinned) this.show(this.nearest(across, down));
      return;
    }
    const steps = [across - before[0], down - before[1]];
    this.far += Math.hypot(...steps);
    if (!this.path && this.far <= MOVED) return; // it may be a click
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, [across, down]);
    if (this.path) this.path.push([across, down]);
    else if (other) this.pinch(before, [across, down], other);
    else this.view.move(...steps);
    this.placeCard();
    this.draw();
  }

  pinch(before, now, other) {
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.view.move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.view.zoom(Math.hypot(now[0] - other[0], now[1] - other[1]) / (Math.hypot(before[0] - other[0], before[1] - other[1]) || 1), ...middle);
  }

  release(event, given = false) {
    if (!this.pointers.delete(event.pointerId)) return;
    const path = this.path;
    this.path = null;
    if (!given && this.far <= MOVED) this.click(...this.position(event), Boolean(path), event.pointerType);
    else if (!given && path) this.encircle(path);
    this.draw();
  }

  click(across, down, choosing, kind) {
    const i = this.nearest(across, down, kind === "touch" ? 2 * NEAR : NEAR);
    if (choosing && i !== null) this.toggle(i);
    else if (i === null) this.hide();
    else this.show(i, true);
  }

  wheel(event) {
    if (!this.points.whole && !event.ctrlKey && document.activeElement !== this.canvas) return; // the page scrolls
    event.preventDefault();
    const step = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
    this.zoom(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.0016)), ...this.position(event));
  }

  zoom(factor, ...place) {
    this.view.zoom(factor, ...place);
    this.placeCard();
    this.draw();
  }

  showAll() {
    this.view.fit();
    this.placeCard();
    this.draw();
  }

  // --- the point that is shown ---

  /** @param pinned it stays, with its buttons, and is read out */
  show(i, pinned = false) {
    if (i === null) return this.hide();
    if (i === this.at && pinned === this.pinned) return undefined;
    Object.assign(this, { at: i, pinned });
    this.name.textContent = this.points.title(i);
    this.id.textContent = this.points.ids[i];
    this.value.textContent = this.about(i);
    const address = this.points.link(i);
    this.link.hidden = !address;
    if (address) this.link.href = address;
    this.card.classList.toggle("pinned", pinned);
    this.card.hidden = false;
    this.paintChoice();
    this.paintShown();
    this.placeCard();
    if (pinned) this.speak([this.points.title(i), this.value.textContent, this.points.ids[i]].filter(Boolean).join(", "));
    this.draw();
    return undefined;
  }

  /** The field of the colours, unless the title says it. */
  about(i) {
    const value = this.values?.[i];
    if (missing(value) || worded(value) === this.points.title(i)) return "";
    return `${this.points.fields.find(({ name }) => name === this.asked)?.title}: ${worded(value)}`;
  }

  paintShown() {
    const context = this.shown.getContext("2d");
    const drawn = this.wanted(this.at);
    context.clearRect(0, 0, 320, 320);
    this.shown.setAttribute("aria-label", drawn ? this.points.title(this.at) : "no picture");
    this.shown.hidden = drawn === null;
    if (!drawn) return;
    const scale = 320 / Math.max(drawn.width, drawn.height);
    const [width, height] = [drawn.width * scale, drawn.height * scale];
    context.drawImage(drawn.image, drawn.x, drawn.y, drawn.width, drawn.height, (320 - width) / 2, (320 - height) / 2, width, height);
  }

  /** Beside its point, within the frame. */
  placeCard() {
    if (this.at === null) return;
    const [across, down] = this.place(this.at);
    const { offsetWidth, offsetHeight } = this.card;
    const left = across + 18 + offsetWidth < this.view.width ? across + 18 : across - 18 - offsetWidth;
    const within = (place, size, all) => Math.max(4, Math.min(place, all - size - 4));
    this.card.style.left = `${within(left, offsetWidth, this.view.width)}px`;
    this.card.style.top = `${within(down - offsetHeight / 2, offsetHeight, this.view.height)}px`;
  }

  hide() {
    Object.assign(this, { at: null, pinned: false });
    this.card.hidden = true;
    this.draw();
  }

  speak(text) {
    this.spoken.textContent = text;
  }

  say() {
    const field = this.points.fields.find(({ name }) => name === this.asked);
    if (field) this.speak(`Coloured by ${field.title}. ${this.note.textContent}`);
  }

  // --- the keyboard ---

  middle() {
    return this.nearest(this.view.width / 2, this.view.height / 2, Infinity);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.at !== null) {
      this.hide();
      this.canvas.focus();
    } else if (event.target !== this.canvas || !this.pressed(event)) return;
    event.preventDefault();
  }

  pressed({ key, shiftKey }) {
    const here = this.at === null ? [] : this.place(this.at); // what is looked at stays where it is
    const keys = {
      "+": () => this.zoom(1.6, ...here), "=": () => this.zoom(1.6, ...here), "-": () => this.zoom(1 / 1.6, ...here), 0: () => this.showAll(),
      v: () => this.selectView(), V: () => this.selectView(),
      " ": () => { if (this.at !== null) this.toggle(this.at); },
      Enter: () => { if (this.at !== null) (this.link.hidden ? this.choice : this.link).focus(); },
    };
    if (key in ARROWS) this.step(...ARROWS[key], shiftKey);
    else if (key in keys) keys[key]();
    else return false;
    return true;
  }

  step(right, down, whole) {
    if (whole) {
      this.view.move(-80 * right, -80 * down);
      this.placeCard();
      this.draw();
      return;
    }
    this.show(this.at === null ? this.middle() : this.next(right, down), true);
    const [across, below] = this.place(this.at);
    if (!this.view.holds(across, below, -30)) this.view.move(this.view.width / 2 - across, this.view.height / 2 - below);
    this.placeCard();
  }

  /** The nearest point in a direction; itself if there is none. */
  next(right, down) {
    const [across, below] = this.place(this.at);
    let [best, least] = [this.at, Infinity];
    for (let i = 0; i < this.count; i++) {
      const [x, y] = this.place(i);
      const along = (x - across) * right + (y - below) * down;
      const aside = Math.abs((x - across) * down) + Math.abs((y - below) * right);
      if (along > 0 && aside <= along && along + 2 * aside < least) [best, least] = [i, along + 2 * aside];
    }
    return best;
  }

  // --- selecting ---

  setLasso(on) {
    this.selecting = on;
    this.lasso.setAttribute("aria-pressed", String(on));
    this.canvas.classList.toggle("selecting", on);
  }

  encircle(path) {
    for (let i = 0; i < this.count; i++) if (inside(path, ...this.place(i))) this.selected[i] = 1;
    this.paintSelection();
  }

  selectView() {
    for (let i = 0; i < this.count; i++) if (this.view.holds(...this.place(i))) this.selected[i] = 1;
    this.paintSelection();
  }

  toggle(i) {
    this.selected[i] = 1 - this.selected[i];
    this.paintSelection();
    this.speak(`${this.points.title(i)} ${this.selected[i] ? "selected" : "no longer selected"}`);
  }

  clear() {
    this.selected.fill(0);
    this.paintSelection();
    this.canvas.focus();
  }

  paintChoice() {
    this.choice.textContent = this.at !== null && this.selected[this.at] ? "Deselect" : "Select";
  }

  paintSelection() {
    const ids = this.points.ids.filter((_, i) => this.selected[i]);
    const listed = ids.filter((id) => !BREAKS.test(id)); // a line each
    this.selection = ids.length;
    this.chosen.hidden = !ids.length;
    const left = ids.length - listed.length;
    this.told.textContent = `${many(ids.length, "picture", "pictures")} selected${left ? `; ${number(left)} not listed, with a line break in the id` : ""}`;
    this.list.value = listed.map((id) => `${id}\n`).join("");
    if (this.save.href) URL.revokeObjectURL(this.save.href);
    this.save.href = URL.createObjectURL(new Blob([this.list.value], { type: "text/plain" }));
    this.paintChoice();
    this.draw();
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.list.value);
    } catch { // not over plain http
      this.list.select();
      document.execCommand("copy");
    }
    this.told.textContent = `${many(this.selection, "id", "ids")} copied`;
  }
}
