// A box on a picture, drawn with mouse, finger or keyboard, in the picture's own pixels.

const STEP = 0.02; // of the picture's longer side, for a key
const SMALLEST = 0.02; // of each side
const GRIP = 24; // pixels of the screen around a corner
const STILL = 5; // pixels of the screen: less is a click

export const edgesOf = ([left, top, width, height]) => [left, top, left + width, top + height];

/** Put an element over a part of a picture; hide it without one. */
export function place(element, edges, [width, height]) {
  element.hidden = !edges;
  if (!edges) return;
  const [left, top, right, bottom] = edges;
  Object.assign(element.style, {
    left: `${(100 * left) / width}%`, top: `${(100 * top) / height}%`,
    width: `${(100 * (right - left)) / width}%`, height: `${(100 * (bottom - top)) / height}%`,
  });
}

export class Box {
  /** @param area what the picture fills and the pointer moves on
   *  @param picture the img
   *  @param frame the element that shows the box
   *  @param corner the element that shows the first of two corners that were clicked
   *  @param changed called when the box has changed */
  constructor(area, picture, frame, corner, changed) {
    Object.assign(this, { area, picture, frame, corner, changed });
    this.edges = null; // left, top, right, bottom
    area.addEventListener("pointerdown", (event) => this.press(event));
    area.addEventListener("pointermove", (event) => this.drag(event));
    area.addEventListener("pointerup", (event) => this.release(event));
    area.addEventListener("pointercancel", () => { this.held = null; });
    area.addEventListener("keydown", (event) => this.key(event));
  }

  /** Left, top, width and height in whole pixels; null without a box. */
  get value() {
    if (!this.edges) return null;
    const [left, top, right, bottom] = this.edges.map(Math.round);
    return [left, top, right - left, bottom - top];
  }

  set value(box) {
    this.first = null;
    this.held = null;
    this.show(box && this.inside(edgesOf(box)));
  }

  get size() {
    return [this.picture.naturalWidth, this.picture.naturalHeight];
  }

  show(edges) {
    this.edges = edges;
    place(this.frame, edges, this.size);
    place(this.corner, this.first && [...this.first, ...this.first], this.size);
    this.changed();
  }

  /** A box from elsewhere may reach beyond the picture. */
  inside([left, top, right, bottom]) {
    const [width, height] = this.size;
    return [Math.max(0, left), Math.max(0, top), Math.min(width, right), Math.min(height, bottom)];
  }

  /** Where the pointer is: in the picture's pixels, never outside. */
  point(event) {
    const { left, top, width, height } = this.picture.getBoundingClientRect();
    const within = (share) => Math.max(0, Math.min(1, share));
    return [within((event.clientX - left) / width) * this.size[0], within((event.clientY - top) / height) * this.size[1]];
  }

  get scale() {
    return this.size[0] / this.picture.getBoundingClientRect().width;
  }

  press(event) {
    if (event.button !== 0) return;
    event.preventDefault(); // no picture is dragged away, no text selected
    this.area.focus({ preventScroll: true, focusVisible: false });
    this.area.setPointerCapture(event.pointerId);
    const at = this.point(event);
    this.held = { at, screen: [event.clientX, event.clientY], ...this.grip(at) };
  }

  /** What is held there: a corner, the whole box, or nothing, which begins a new box. */
  grip(at) {
    if (!this.edges) return { kind: "new", anchor: at };
    const [left, top, right, bottom] = this.edges;
    for (const [x, y, otherX, otherY] of [[left, top, right, bottom], [right, top, left, bottom], [left, bottom, right, top], [right, bottom, left, top]]) {
      if (Math.hypot(x - at[0], y - at[1]) < GRIP * this.scale) return { kind: "corner", anchor: [otherX, otherY] };
    }
    const inside = at[0] > left && at[0] < right && at[1] > top && at[1] < bottom;
    return inside ? { kind: "move", edges: this.edges } : { kind: "new", anchor: at };
  }

  drag(event) {
    const held = this.held;
    if (!held) return;
    if (!held.moved && Math.hypot(event.clientX - held.screen[0], event.clientY - held.screen[1]) < STILL) return;
    held.moved = true;
    this.first = null;
    const at = this.point(event);
    if (held.kind === "move") this.show(this.moved(held.edges, at[0] - held.at[0], at[1] - held.at[1]));
    else this.show(this.between(held.anchor, at));
  }

  /** A click sets a corner, the next one the opposite corner: for hands that cannot drag. */
  release(event) {
    const held = this.held;
    this.held = null;
    if (!held || held.moved || held.kind === "corner") return;
    const at = this.point(event);
    const first = this.first;
    this.first = first ? null : at;
    this.show(first ? this.between(first, at) : this.edges);
  }

  between([x, y], [otherX, otherY]) {
    return this.atLeast([Math.min(x, otherX), Math.min(y, otherY), Math.max(x, otherX), Math.max(y, otherY)]);
  }

  /** Not smaller than the smallest, and inside the picture. */
  atLeast([left, top, right, bottom]) {
    const [width, height] = this.size;
    const least = [Math.max(1, SMALLEST * width), Math.max(1, SMALLEST * height)];
    left = Math.max(0, Math.min(left, width - least[0]));
    top = Math.max(0, Math.min(top, height - least[1]));
    return [left, top, Math.min(width, Math.max(right, left + least[0])), Math.min(height, Math.max(bottom, top + least[1]))];
  }

  moved([left, top, right, bottom], x, y) {
    const [width, height] = this.size;
    const byX = Math.max(-left, Math.min(x, width - right));
    const byY = Math.max(-top, Math.min(y, height - bottom));
    return [left + byX, top + byY, right + byX, bottom + byY];
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape" && (this.edges || this.first)) this.value = null;
    else if (event.key.startsWith("Arrow")) this.step(event.key, event.shiftKey);
    else return;
    event.preventDefault(); // and so the dialog stays open, and the page does not scroll
    event.stopPropagation();
  }

  step(key, sizes) {
    const [width, height] = this.size;
    const step = STEP * Math.max(width, height);
    const x = { ArrowLeft: -step, ArrowRight: step }[key] ?? 0, y = { ArrowUp: -step, ArrowDown: step }[key] ?? 0;
    this.first = null;
    if (!this.edges) this.show([width / 4, height / 4, (3 * width) / 4, (3 * height) / 4]);
    else if (sizes) this.show(this.atLeast([this.edges[0], this.edges[1], this.edges[2] + x, this.edges[3] + y]));
    else this.show(this.moved(this.edges, x, y));
  }
}
