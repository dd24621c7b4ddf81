// The call tree as a list that opens: what the flame graph shows, for screen
// readers, keyboards and those who like text.

const treeStep = 100; // children that are shown at once

class CallTree {
  constructor(page, section) {
    this.page = page;
    this.section = section;
    this.boxes = new WeakMap(); // of lines
  }

  show() {
    const { root } = this.page;
    const tree = element("ul", { role: "tree", class: "calltree", "aria-label": "Call tree" });
    tree.append(this.item(root, 1, 1, 1));
    tree.addEventListener("keydown", (e) => this.key(e));
    tree.addEventListener("click", (e) => this.click(e));
    tree.addEventListener("focusin", (e) => {
      const box = this.boxes.get(e.target);
      if (box) this.page.point(box, false);
    });
    this.tree = tree;
    const head = element(
      "div",
      { class: "calltree-head", "aria-hidden": "true" },
      element("span", { text: "Total" }),
      element("span", { text: this.page.comparison ? "Change" : "Self" }),
      element("span", { text: "Function" }),
    );
    this.section.replaceChildren(head, tree);
    tree.firstElementChild.tabIndex = 0;
    this.openHeavy(tree.firstElementChild);
  }

  // openHeavy opens the way of most samples, as far as it does not branch.
  openHeavy(item) {
    for (let depth = 0; depth < 40; depth++) {
      const box = this.boxes.get(item);
      if (box.children.length === 0) return;
      this.open(item);
      const heaviest = item.nextElementSibling;
      if (this.boxes.get(heaviest).total < 0.5 * box.total) return;
      item = heaviest;
    }
  }

  levelOf(item) {
    return Number(item.getAttribute("aria-level"));
  }

  // item makes the line of a box. The list is flat: a line's children follow it,
  // one level deeper, so that its text is its own and not theirs too.
  item(box, level, position, of) {
    const { page } = this;
    const { info } = box;
    const all = page.view.root.total;
    const unit = page.profile.header.types[page.selection.type].unit;
    const second = page.comparison ? formatPoints(page.comparison.change(box.before, box.total)) : formatShare(box.self, all);
    const hasChildren = box.children.length > 0;
    const item = element("li", {
      role: "treeitem", class: "line", tabindex: "-1", "aria-level": String(level), "aria-posinset": String(position), "aria-setsize": String(of),
    });
    if (hasChildren) item.setAttribute("aria-expanded", "false");
    const swatch = element("span", { class: "swatch " + info.class, "aria-hidden": "true" });
    swatch.style.background = page.colourOf(box);
    const name = element("span", { class: "fn", text: info.name, title: info.name });
    if (page.found && page.found[info.function]) name.classList.add("match");
    const indent = element("span", { class: "indent" }, element("span", { class: "twist", text: hasChildren ? "▸" : "", "aria-hidden": "true" }), swatch, name);
    indent.style.setProperty("--level", level - 1);
    item.append(
      element("span", { class: "number", title: formatValue(box.total, unit) }, formatShare(box.total, all), element("span", { class: "unseen", text: " total, " })),
      element("span", { class: "number" }, second, element("span", { class: "unseen", text: page.comparison ? " change, " : " self, " })),
      indent,
      element("span", { class: "binary", text: baseName(info.binary ?? "") }),
    );
    this.boxes.set(item, box);
    return item;
  }

  open(item) {
    if (item.getAttribute("aria-expanded") !== "false") return;
    item.setAttribute("aria-expanded", "true");
    item.querySelector(".twist").textContent = "▾";
    const level = this.levelOf(item) + 1;
    item.after(...this.items([...this.boxes.get(item).children].sort(byWeight), level, 0));
  }

  // items makes the lines of boxes from one on, and one that stands for the rest.
  items(boxes, level, from) {
    const list = boxes.slice(from, from + treeStep).map((box, i) => this.item(box, level, from + i + 1, boxes.length));
    const left = boxes.length - from - treeStep;
    if (left > 0) {
      const more = element("li", { role: "treeitem", tabindex: "-1", class: "more", "aria-level": String(level), text: `${formatCount(left)} more` });
      more.addEventListener("click", (e) => {
        e.stopPropagation();
        const rest = this.items(boxes, level, from + treeStep);
        more.replaceWith(...rest);
        rest[0].focus();
      });
      list.push(more);
    }
    return list;
  }

  close(item) {
    if (item.getAttribute("aria-expanded") !== "true") return;
    item.setAttribute("aria-expanded", "false");
    item.querySelector(".twist").textContent = "▸";
    while (item.nextElementSibling && this.levelOf(item.nextElementSibling) > this.levelOf(item)) item.nextElementSibling.remove();
  }

  click(event) {
    const item = event.target.closest("li");
    if (!item || !this.boxes.has(item)) return;
    item.focus();
    if (item.getAttribute("aria-expanded") === "true") this.close(item);
    else this.open(item);
  }

  // parentOf returns the line above with a lower level.
  parentOf(item) {
    let above = item.previousElementSibling;
    while (above && this.levelOf(above) >= this.levelOf(item)) above = above.previousElementSibling;
    return above;
  }

  key(event) {
    const item = event.target.closest("li");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const expanded = item.getAttribute("aria-expanded");
    let to = null;
    switch (event.key) {
      case "ArrowDown":
        to = item.nextElementSibling;
        break;
      case "ArrowUp":
        to = item.previousElementSibling;
        break;
      case "Home":
        to = this.tree.firstElementChild;
        break;
      case "End":
        to = this.tree.lastElementChild;
        break;
      case "ArrowRight":
        if (expanded === "false") this.open(item);
        else if (expanded === "true") to = item.nextElementSibling;
        break;
      case "ArrowLeft":
        if (expanded === "true") this.close(item);
        else to = this.parentOf(item);
        break;
      case "Enter":
      case " ":
        if (this.boxes.has(item)) this.page.choose(this.boxes.get(item));
        else item.click();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (!to) return;
    for (const other of this.tree.querySelectorAll("li[tabindex='0']")) other.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }
}
