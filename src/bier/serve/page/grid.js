// A grid of any number of tiles, of which only those near the window exist.

const MARGIN_ROWS = 2;

export class Grid {
  /** @param root the list
   *  @param make index → li with a button or link `.open`, or null while the picture is not known
   *  @param drop called with an li that leaves */
  constructor(root, make, drop) {
    this.root = root;
    this.make = make;
    this.drop = drop;
    this.tiles = new Map(); // index → li
    this.count = 0;
    this.active = 0; // the tile that Tab reaches
    this.rowHeight = 0;
    const later = () => { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.render(); }); };
    addEventListener("scroll", later, { passive: true });
    new ResizeObserver(() => { this.rowHeight = 0; later(); }).observe(root);
    root.addEventListener("focusin", (event) => this.activate(this.indexOf(event.target), false));
    root.addEventListener("keydown", (event) => this.move(event));
  }

  /** Show `count` new pictures. */
  reset(count) {
    for (const index of [...this.tiles.keys()]) this.remove(index);
    this.count = count;
    this.active = 0;
    this.rowHeight = 0;
    this.render();
  }

  /** The pictures from `start` to `end` have become known. */
  refresh(start, end) {
    // One by one and in place: an empty list would be shorter, and the window would jump.
    for (const [index, before] of this.tiles) {
      if (index < start || index >= end) continue;
      const focused = before.contains(document.activeElement);
      const tile = this.add(index);
      this.drop(before);
      before.replaceWith(tile);
      if (focused) tile.querySelector(".open").focus({ preventScroll: true });
    }
  }

  add(index) {
    const tile = this.make(index);
    tile.dataset.index = index;
    tile.setAttribute("aria-setsize", this.count);
    tile.setAttribute("aria-posinset", index + 1);
    this.tiles.set(index, tile);
    this.reachable(tile, index === this.active);
    return tile;
  }

  get columns() {
    return getComputedStyle(this.root).gridTemplateColumns.split(" ").length;
  }

  indexOf(element) {
    const tile = element.closest("li");
    return tile && tile.parentElement === this.root ? Number(tile.dataset.index) : null;
  }

  render() {
    const columns = this.columns;
    const rows = Math.ceil(this.count / columns);
    this.measure();
    const above = this.root.getBoundingClientRect().top;
    const row = (pixels) => Math.floor(pixels / this.rowHeight);
    const first = Math.max(0, Math.min(row(-above) - MARGIN_ROWS, rows - 1));
    const last = Math.max(first, Math.min(row(innerHeight - above) + MARGIN_ROWS, rows - 1));
    this.show(first * columns, Math.min(this.count, (last + 1) * columns));
    const padding = (value) => `${Math.round(value * this.rowHeight || 0)}px`;
    this.root.style.paddingTop = padding(first);
    this.root.style.paddingBottom = padding(Math.max(0, rows - 1 - last));
  }

  /** The height of a row, after each change of the window that may have changed it. */
  measure() {
    if (this.rowHeight || !this.count) return;
    if (!this.tiles.size) this.show(0, 1);
    const tiles = [...this.tiles.values()];
    const tile = tiles.find((one) => !one.classList.contains("away")) ?? tiles[0];
    this.rowHeight = tile.offsetHeight + parseFloat(getComputedStyle(this.root).rowGap);
  }

  show(start, end) {
    const focused = this.tiles.get(this.active)?.contains(document.activeElement) ? this.active : null;
    for (const index of [...this.tiles.keys()]) {
      if ((index < start || index >= end) && index !== focused) this.remove(index);
    }
    let next = null;
    for (let index = end - 1; index >= start; index--) {
      let tile = this.tiles.get(index);
      if (!tile) {
        tile = this.add(index);
        this.root.insertBefore(tile, next);
      }
      next = tile;
    }
    // A focused tile that was scrolled away stays alive for the keyboard, but takes no place.
    for (const [index, tile] of this.tiles) tile.classList.toggle("away", index < start || index >= end);
  }

  remove(index) {
    const tile = this.tiles.get(index);
    if (!tile) return;
    this.drop(tile);
    tile.remove();
    this.tiles.delete(index);
  }

  reachable(tile, yes) {
    for (const one of tile.querySelectorAll("button, a")) one.tabIndex = yes ? 0 : -1;
  }

  activate(index, focus = true) {
    if (index === null || index >= this.count) return;
    const before = this.tiles.get(this.active);
    if (before && index !== this.active) this.reachable(before, false);
    this.active = index;
    if (focus) this.scrollTo(index);
    const tile = this.tiles.get(index);
    if (tile) this.reachable(tile, true);
    if (focus) tile?.querySelector(".open")?.focus({ preventScroll: true });
  }

  scrollTo(index) {
    this.measure();
    const top = this.root.getBoundingClientRect().top + Math.floor(index / this.columns) * this.rowHeight;
    const below = top + this.rowHeight - innerHeight;
    if (top < 0) scrollBy({ top: top - 16, behavior: "instant" });
    else if (below > 0) scrollBy({ top: below + 16, behavior: "instant" });
    this.render();
  }

  move(event) {
    const index = this.indexOf(event.target);
    if (index === null || event.altKey || event.ctrlKey || event.metaKey) return;
    this.measure();
    const columns = this.columns;
    const screen = columns * Math.max(1, Math.floor(innerHeight / this.rowHeight));
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
      PageDown: screen, PageUp: -screen, Home: -index, End: this.count - 1 - index,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const target = index + steps[event.key];
    if (target >= 0 && target < this.count) this.activate(target);
    else if (Math.abs(steps[event.key]) === screen) this.activate(target < 0 ? 0 : this.count - 1);
  }
}
