// The flame graph on a canvas. The canvas is as large as what is seen of it and
// stays in place while the user scrolls; only rows in view are drawn, since
// browsers refuse canvases of many thousand pixels.

const rowHeight = 21;
const minWidth = 0.5; // of a box, in pixels
const labelFrom = 26; // width from which on a box has text
const tagFrom = 64;
const font = "12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

// layTree returns the rows of a tree of boxes, the root's first: of each box
// where it begins and how wide it is, in pixels. zoomed fills the width.
function layTree(zoomed, width) {
  const rows = [...ancestors(zoomed), zoomed].map((box) => [{ box, x: 0, width, above: box !== zoomed }]);
  const scale = zoomed.total > 0 ? width / zoomed.total : 0;
  for (let row = rows[rows.length - 1]; row.length > 0; ) {
    const next = [];
    for (const cell of row) {
      let x = cell.x;
      for (const box of cell.box.children) {
        const boxWidth = box.total * scale;
        if (boxWidth >= minWidth) next.push({ box, x, width: boxWidth, above: false });
        x += boxWidth;
      }
    }
    if (next.length > 0) rows.push(next);
    row = next;
  }
  return rows;
}

function ancestors(box) {
  const list = [];
  for (let b = box.parent; b; b = b.parent) list.unshift(b);
  return list;
}

class Graph {
  constructor(scroller, canvas, spacer, handlers) {
    Object.assign(this, { scroller, canvas, spacer, handlers });
    this.context = canvas.getContext("2d");
    this.rows = []; // from top to bottom
    this.middle = -1; // row of the sandwich's function
    this.hovered = null;
    this.focused = null;
    this.widths = new Map(); // of texts
    this.top = 0; // how far down the user scrolled
    scroller.addEventListener("scroll", () => {
      if (scroller.clientHeight > 0) this.scrolled(); // hidden elements forget where they were
      this.draw();
    });
    new ResizeObserver(() => this.show()).observe(scroller);
    canvas.addEventListener("pointermove", (e) => this.hover(this.find(e)));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    canvas.addEventListener("click", (e) => {
      const cell = this.find(e);
      if (!cell) return;
      this.focused = cell;
      handlers.choose(cell.box);
    });
    canvas.addEventListener("focus", () => {
      if (!this.focused && this.byKeyboard) this.focus(this.rootCell(), false);
      this.draw();
    });
    canvas.addEventListener("blur", () => this.draw());
  }

  // set shows boxes: {root: the box that fills the width} or {callers, callees}.
  // look says how: icicle, colours, which functions match a search.
  set(what, look, keepScroll) {
    this.what = what;
    this.look = look;
    this.hovered = null;
    this.keepScroll = keepScroll;
    const focused = this.focused;
    this.focused = null;
    this.pendingFocus = focused && focused.box;
    this.show();
  }

  show() {
    if (!this.what) return;
    const width = this.scroller.clientWidth;
    const height = this.scroller.clientHeight;
    if (width === 0 || height === 0) return; // not in view
    this.lay(width);
    this.contentHeight = this.rows.length * rowHeight;
    this.spacer.style.height = Math.max(0, this.contentHeight - height) + "px";
    const ratio = window.devicePixelRatio || 1;
    this.ratio = ratio;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = width + "px";
    this.canvas.style.height = height + "px";
    const wanted = this.pendingFocus || (this.focused && this.focused.box);
    this.pendingFocus = null;
    this.focused = wanted ? this.cellOf(wanted) : null;
    if (this.keepScroll && !this.atRoot) this.scroller.scrollTop = this.top;
    else this.scrollToRoot();
    this.keepScroll = true;
    this.draw();
  }

  lay(width) {
    const { root, callers, callees } = this.what;
    this.middle = -1;
    if (root) {
      this.rows = layTree(root, width);
      if (!this.look.icicle) this.rows.reverse();
      return;
    }
    const above = layTree(callers, width).slice(1).reverse();
    this.middle = above.length;
    this.rows = above.concat(layTree(callees, width));
  }

  scrollToRoot() {
    const overflow = this.contentHeight - this.height;
    let top = 0;
    if (this.middle >= 0) top = Math.max(0, (this.middle + 0.5) * rowHeight - this.height / 2);
    else if (!this.look.icicle) top = Math.max(0, overflow);
    this.scroller.scrollTop = top;
    this.top = this.rootTop = this.scroller.scrollTop;
    this.atRoot = true;
  }

  // scrolled notes where the user, or the browser for lack of content, scrolled to.
  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.top = scrollTop;
    this.atRoot = Math.abs(scrollTop - Math.min(this.rootTop, scrollHeight - clientHeight)) < 1;
  }

  // byKeyboard says whether the browser would show where the focus is.
  get byKeyboard() {
    return this.canvas.matches(":focus-visible");
  }

  // offset is where the first row is drawn, in pixels below the canvas's top.
  get offset() {
    const free = this.height - this.contentHeight;
    const bottom = this.middle < 0 && !this.look.icicle && free > 0;
    return (bottom ? free : 0) - this.scroller.scrollTop;
  }

  // find returns the cell that the pointer is over.
  find(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const row = this.rows[Math.floor((event.clientY - bounds.top - this.offset) / rowHeight)];
    const x = event.clientX - bounds.left;
    if (!row) return null;
    let low = 0;
    let high = row.length - 1;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (row[half].x <= x) low = half;
      else high = half - 1;
    }
    const cell = row[low];
    return cell && x >= cell.x && x < cell.x + Math.max(cell.width, 1) ? cell : null;
  }

  cellOf(box) {
    for (const row of this.rows) for (const cell of row) if (cell.box === box) return cell;
    return null;
  }

  rootCell() {
    const row = this.middle >= 0 ? this.middle : this.look.icicle ? 0 : this.rows.length - 1;
    const cells = this.rows[row];
    return cells && cells[0];
  }

  hover(cell) {
    if (cell === this.hovered) return;
    this.hovered = cell;
    this.canvas.style.cursor = cell ? "pointer" : "default";
    this.draw();
    this.handlers.point(cell && cell.box, false);
  }

  // focus moves the keyboard's place; scroll brings it into view.
  focus(cell, scroll = true) {
    if (!cell) return;
    this.focused = cell;
    if (scroll) {
      const y = this.rowOf(cell) * rowHeight;
      const top = this.scroller.scrollTop;
      if (y < top) this.scroller.scrollTop = y;
      else if (y + rowHeight > top + this.height) this.scroller.scrollTop = y + rowHeight - this.height;
    }
    this.draw();
    this.handlers.point(cell.box, true);
  }

  rowOf(cell) {
    return this.rows.findIndex((row) => row.includes(cell));
  }

  // move goes from box to box: up and down to children and parent, left and
  // right to neighbours.
  move(key) {
    if (!this.focused) return this.focus(this.rootCell());
    const row = this.rowOf(this.focused);
    if (key === "ArrowLeft" || key === "ArrowRight") {
      const cells = this.rows[row];
      return this.focus(cells[cells.indexOf(this.focused) + (key === "ArrowLeft" ? -1 : 1)]);
    }
    const cells = this.rows[row + (key === "ArrowUp" ? -1 : 1)] ?? [];
    const { box } = this.focused;
    const parent = cells.find((c) => c.box === box.parent || (box.depth === 1 && c === this.rootCell() && this.middle >= 0));
    if (parent) return this.focus(parent);
    const isChild = (c) => c.box.parent === box || (row === this.middle && c.box.depth === 1);
    let widest = null;
    for (const c of cells) if (isChild(c) && (!widest || c.width > widest.width)) widest = c;
    this.focus(widest);
  }

  // matchedCells are the boxes that match the search, the widest first.
  matchedCells() {
    const { found } = this.look;
    if (!found) return [];
    return this.rows.flat().filter((c) => found[c.box.info.function]).sort((a, b) => b.width - a.width || a.x - b.x);
  }

  // next focuses the next box that matches, or the one before.
  next(step) {
    const list = this.matchedCells();
    if (list.length === 0) return 0;
    const at = list.indexOf(this.focused);
    this.focus(list[(at < 0 ? (step > 0 ? 0 : list.length - 1) : at + step + list.length) % list.length]);
    return list.length;
  }

  fill(cell) {
    const { palette, found, colourOf } = this.look;
    const { info } = cell.box;
    if (found) {
      if (found[info.function]) return palette.dark ? "#7c3aed" : "#6d28d9";
      return unchangedColour(palette.dark);
    }
    if (cell.above) return unchangedColour(palette.dark);
    return colourOf(cell.box);
  }

  draw() {
    const g = this.context;
    if (!this.what || !this.width) return;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    g.font = font;
    g.textBaseline = "middle";
    const { offset } = this;
    const first = Math.max(0, Math.floor(-offset / rowHeight));
    const last = Math.min(this.rows.length, Math.ceil((this.height - offset) / rowHeight));
    for (let row = first; row < last; row++) {
      for (const cell of this.rows[row]) this.drawCell(cell, offset + row * rowHeight);
    }
    if (this.middle >= 0) this.outline(this.rootCell(), 1.5);
    if (this.hovered) this.outline(this.hovered, 1.5);
    if (this.focused && this.byKeyboard) this.outline(this.focused, 2.5);
  }

  outline(cell, thickness) {
    const g = this.context;
    const y = this.offset + this.rowOf(cell) * rowHeight;
    g.setLineDash([]);
    g.strokeStyle = this.look.palette.dark ? "#ffffff" : "#111114";
    g.lineWidth = thickness;
    const inset = thickness / 2;
    g.strokeRect(cell.x + inset, y + inset, Math.max(1, cell.width - thickness), rowHeight - 1 - thickness);
  }

  drawCell(cell, y) {
    const g = this.context;
    const { palette, found } = this.look;
    const { info } = cell.box;
    const gap = cell.width > 3 ? 1 : 0;
    const w = cell.width - gap;
    const h = rowHeight - 1;
    g.fillStyle = this.fill(cell);
    g.fillRect(cell.x, y, w, h);
    if (cell.width > 2) this.drawEdge(classes[info.class].edge, cell.x, y, w, h);
    if (cell.width < labelFrom) return;
    g.fillStyle = found && found[info.function] ? "#ffffff" : palette.text;
    const { tag } = classes[info.class];
    let room = w - 8;
    if (tag && w >= tagFrom) {
      g.font = "10px ui-monospace, 'DejaVu Sans Mono', monospace";
      g.fillText(tag, cell.x + w - 9, y + h / 2 + 0.5);
      g.font = font;
      room -= 12;
    }
    g.fillText(this.fit(info.name, room), cell.x + 4, y + h / 2 + 0.5);
  }

  drawEdge(edge, x, y, w, h) {
    if (!edge) return;
    const g = this.context;
    const ink = this.look.palette.dark ? "rgba(255,255,255,0.5)" : "rgba(0,0,0,0.5)";
    g.strokeStyle = g.fillStyle = ink;
    g.lineWidth = 1;
    switch (edge) {
      case "bar":
        g.fillRect(x, y + h - 2, w, 2);
        return;
      case "dashed":
        g.setLineDash([4, 3]);
        g.strokeRect(x + 0.5, y + 0.5, Math.max(0, w - 1), h - 1);
        g.setLineDash([]);
        return;
      case "dotted":
        g.setLineDash([1.5, 3]);
        g.lineWidth = 1.5;
        g.beginPath();
        g.moveTo(x, y + h - 1);
        g.lineTo(x + w, y + h - 1);
        g.stroke();
        g.setLineDash([]);
        return;
      case "hatched": {
        g.save();
        g.beginPath();
        g.rect(x, y, w, h);
        g.clip();
        g.strokeStyle = this.look.palette.dark ? "rgba(255,255,255,0.16)" : "rgba(0,0,0,0.16)";
        g.beginPath();
        for (let at = x - h + ((h - (x % 7)) % 7); at < x + w; at += 7) {
          g.moveTo(at, y + h);
          g.lineTo(at + h, y);
        }
        g.stroke();
        g.restore();
      }
    }
  }

  // fit shortens a name to a number of pixels.
  fit(name, room) {
    if (this.textWidth(name) <= room) return name;
    const text = shortName(name);
    if (this.textWidth(text) <= room) return text;
    let length = Math.max(0, Math.floor((room / this.textWidth(text)) * text.length) - 1);
    while (length > 0 && this.textWidth(text.slice(0, length) + "…") > room) length--;
    return length > 0 ? text.slice(0, length) + "…" : "";
  }

  textWidth(text) {
    let width = this.widths.get(text);
    if (width === undefined) {
      if (this.widths.size > 50000) this.widths.clear();
      width = this.context.measureText(text).width;
      this.widths.set(text, width);
    }
    return width;
  }
}
