// The keyboard. Single letters act anywhere but in a text field.

const keyTable = [
  ["/", "search"],
  ["n, Shift+n", "next, previous match"],
  ["f", "flame graph"],
  ["t", "table"],
  ["c", "call tree"],
  ["s", "callers and callees of the function"],
  ["i", "root on top or at the bottom"],
  ["r", "reverse: begin with the leaves"],
  ["o", "order by name or by weight"],
  ["d", "dark or light"],
  ["0", "zoom out completely"],
  ["Esc", "leave the search, or zoom out one step"],
  ["← ↑ → ↓", "walk from box to box"],
  ["Enter", "zoom into the box"],
  ["?", "this list"],
];

function listenToKeys(page) {
  const actions = {
    "/": () => {
      byID("search").focus();
      byID("search").select();
    },
    n: () => page.nextMatch(1),
    N: () => page.nextMatch(-1),
    f: () => page.change({ view: "flame" }),
    t: () => page.change({ view: page.state.view === "table" ? "flame" : "table" }),
    c: () => page.change({ view: "tree" }),
    s: () => page.showSandwich(),
    i: () => page.change({ icicle: !page.state.icicle }),
    r: () => page.change({ reverse: !page.state.reverse, zoom: [] }),
    o: () => page.change({ order: page.state.order === "name" ? "weight" : "name" }),
    d: () => page.change({ theme: page.palette.dark ? "light" : "dark" }, true),
    0: () => page.change({ zoom: [] }),
    "?": () => byID("help").showModal(),
    Escape: () => page.escape(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byID("help").open) return;
    const target = event.target;
    if (target instanceof HTMLInputElement && target.type === "search") {
      if (event.key === "Enter") page.nextMatch(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") page.escape();
      else return;
      event.preventDefault();
      return;
    }
    if (target instanceof HTMLSelectElement && event.key !== "Escape") return;
    const onGraph = page.hasGraph() && (target === page.graph.canvas || target === document.body);
    if (onGraph && event.key.startsWith("Arrow")) {
      page.graph.canvas.focus({ preventScroll: true });
      page.graph.move(event.key);
    } else if (onGraph && event.key === "Enter") {
      if (page.graph.focused) page.choose(page.graph.focused.box);
    } else {
      const key = event.key.length === 1 && event.key !== "N" ? event.key.toLowerCase() : event.key;
      if (!Object.hasOwn(actions, key)) return;
      actions[key]();
    }
    event.preventDefault();
  });
}

function showKeyTable() {
  byID("keys").replaceChildren(...keyTable.map(([key, what]) => element("tr", {}, element("th", { scope: "row", text: key }), element("td", { text: what }))));
}
