// The call tree as a list that opens: what the flame graph shows, for screen
// readers, keyboards and those who like text.

const treeStep = 100; // children that are shown at once

class CallTree {
  constructor(page, section) {
    this.page = page;
    this.section = section;
    this.boxes = new WeakMap(); // of tree items
  }

  show() {
    const { root } = this.page;
    const tree = element("ul", { role: "tree", class: "calltree", "aria-label": "Call tree" });
    tree.append(this.item(root, true));
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
      const heaviest = box.children.reduce((a, b) => (b.total > a.total ? b : a));
      if (heaviest.total < 0.5 * box.total) return;
      item = [...item.querySelectorAll(":scope > ul > li")].find((li) => this.boxes.get(li) === heaviest);
      if (!item) return;
    }
  }

  item(box, isRoot) {
    const { page } = this;
    const { info } = box;
    const all = page.view.root.total;
    const unit = page.profile.header.types[page.selection.type].unit;
    const second = page.comparison ? formatPoints(page.comparison.change(box.before, box.total)) : formatShare(box.self, all);
    const level = box.depth - (isRoot ? box.depth : page.root.depth) + 1;
    const hasChildren = box.children.length > 0;
    const label = `${info.name}, ${formatShare(box.total, all)} total, ${second} ${page.comparison ? "change" : "self"}, ${info.kind}`;
    const item = element("li", { role: "treeitem", "aria-level": String(level), "aria-label": label, tabindex: "-1" });
    if (hasChildren) item.setAttribute("aria-expanded", "false");
    const swatch = element("span", { class: "swatch " + info.class });
    swatch.style.background = page.colourOf(box);
    const name = element("span", { class: "fn", text: info.name, title: info.name });
    if (page.found && page.found[info.function]) name.classList.add("match");
    const line = element(
      "div",
      { class: "line" },
      element("span", { class: "number", text: formatShare(box.total, all), title: formatValue(box.total, unit) }),
      element("span", { class: "number", text: second }),
      element("span", { class: "indent" }, element("span", { class: "twist", text: hasChildren ? "▸" : "" }), swatch, name),
      element("span", { class: "binary", text: baseName(info.binary ?? "") }),
    );
    line.querySelector(".indent").style.paddingLeft = `min(${(level - 1) * 12}px, 40vw)`;
    item.append(line);
    this.boxes.set(item, box);
    return item;
  }

  open(item) {
    if (item.getAttribute("aria-expanded") !== "false") return;
    item.setAttribute("aria-expanded", "true");
    item.querySelector(".twist").textContent = "▾";
    const group = element("ul", { role: "group" });
    item.append(group);
    this.fill(group, [...this.boxes.get(item).children].sort(byWeight), 0);
  }

  fill(group, boxes, from) {
    for (const box of boxes.slice(from, from + treeStep)) group.append(this.item(box, false));
    const left = boxes.length - from - treeStep;
    if (left <= 0) return;
    const more = element("li", { role: "treeitem", tabindex: "-1", class: "more", text: `${formatCount(left)} more` });
    more.addEventListener("click", (e) => {
      e.stopPropagation();
      more.remove();
      this.fill(group, boxes, from + treeStep);
      group.children[from + treeStep].focus();
    });
    group.append(more);
  }

  close(item) {
    if (item.getAttribute("aria-expanded") !== "true") return;
    item.setAttribute("aria-expanded", "false");
    item.querySelector(".twist").textContent = "▸";
    item.querySelector(":scope > ul").remove();
  }

  click(event) {
    const item = event.target.closest("li");
    if (!item || !this.boxes.has(item)) return;
    item.focus();
    if (item.getAttribute("aria-expanded") === "true") this.close(item);
    else this.open(item);
  }

  key(event) {
    const item = event.target.closest("li");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const visible = [...this.tree.querySelectorAll("li")];
    const at = visible.indexOf(item);
    const expanded = item.getAttribute("aria-expanded");
    let to = null;
    switch (event.key) {
      case "ArrowDown":
        to = visible[at + 1];
        break;
      case "ArrowUp":
        to = visible[at - 1];
        break;
      case "Home":
        to = visible[0];
        break;
      case "End":
        to = visible[visible.length - 1];
        break;
      case "ArrowRight":
        if (expanded === "false") this.open(item);
        else if (expanded === "true") to = item.querySelector("li");
        break;
      case "ArrowLeft":
        if (expanded === "true") this.close(item);
        else to = item.parentElement.closest("li");
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
