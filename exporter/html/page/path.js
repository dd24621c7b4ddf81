// The way to the box that has the keyboard's place, as a tree for screen
// readers: the canvas has nothing that they could read.

class PathTree {
  constructor(page, list) {
    this.page = page;
    this.list = list;
    list.addEventListener("keydown", (e) => this.key(e));
    list.addEventListener("click", (e) => this.choose(e.target));
  }

  show(box) {
    this.boxes = [...ancestors(box), box];
    const all = this.page.view.root.total;
    this.list.replaceChildren(
      ...this.boxes.map((b, i) => element("li", {
        role: "treeitem",
        "aria-level": String(i + 1),
        "aria-selected": String(b === box),
        tabindex: b === box ? "0" : "-1",
        text: `${b.info.name}, ${formatShare(b.total, all)}`,
      })),
    );
  }

  choose(item) {
    const box = this.boxes?.[[...this.list.children].indexOf(item)];
    if (box) this.page.choose(box);
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step) {
      const items = [...this.list.children];
      const to = items[items.indexOf(event.target) + step];
      if (to) {
        event.target.tabIndex = -1;
        to.tabIndex = 0;
        to.focus();
      }
    } else if (event.key === "Enter") {
      this.choose(event.target);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
