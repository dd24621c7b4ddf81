// The page: what is chosen decides what is shown.

class Page {
  constructor(profile) {
    this.profile = profile;
    this.known = {}; // what the parts were made from, to make only what changed
    this.state = readHash(location.hash);
    this.graph = new Graph(byID("scroller"), byID("canvas"), byID("spacer"), {
      choose: (box) => this.choose(box),
      point: (box, spoken) => this.point(box, spoken),
    });
    this.table = new FunctionTable(this, byID("table"));
    this.callTree = new CallTree(this, byID("tree"));
    this.pathTree = new PathTree(this, byID("path"));
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.render());
    addEventListener("popstate", () => this.readAddress());
    addEventListener("hashchange", () => this.readAddress());
    addEventListener("beforeprint", () => this.print());
    addEventListener("afterprint", () => byID("print").replaceChildren());
    showHeader(profile);
    showKeyTable();
    this.listen();
    listenToKeys(this);
    this.render();
  }

  // change takes choices, shows what they mean and puts them into the address.
  // replace leaves no step for the browser's back button.
  change(choices, replace = false) {
    this.state = { ...this.state, ...choices };
    const hash = "#" + writeHash(this.state);
    if (hash !== (location.hash || "#")) {
      try {
        if (replace) history.replaceState(null, "", hash);
        else history.pushState(null, "", hash);
      } catch {
        // Pages in frames may have no address of their own: then there is no link to share.
      }
    }
    this.render();
  }

  readAddress() {
    if (writeHash(this.state) === writeHash(readHash(location.hash))) return;
    this.state = readHash(location.hash);
    this.render();
  }

  // made says whether a part has to be made again, since what it is made from
  // has changed.
  made(part, ...from) {
    const key = JSON.stringify(from);
    if (this.known[part] === key) return false;
    this.known[part] = key;
    return true;
  }

  render() {
    const { state, profile } = this;
    const dark = state.theme === "auto" ? this.dark.matches : state.theme === "dark";
    if (!this.palette || this.palette.dark !== dark) this.palette = paletteOf(dark);
    document.documentElement.dataset.theme = dark ? "dark" : "light";

    const { types } = profile.header;
    const type = state.type >= 0 && state.type < types.length ? state.type : profile.header.default;
    if (this.made("search", state.search, state.matchCase)) {
      const { expression, error } = compile(state.search, state.matchCase);
      this.found = expression && matchFunctions(profile, expression);
      this.foundRows = this.found && matchRows(profile, this.found);
      this.searchError = error;
    }
    const only = state.only && !!this.found;
    const filter = [type, state.process, state.thread, state.container];
    if (this.made("selection", filter, state.by, only && [state.search, state.matchCase])) {
      this.selection = new Selection(profile, { type, by: state.by, accepts: this.accepts(), onlyRows: only ? this.foundRows : null });
    }
    this.comparison = profile.isDiff ? new Comparison(this.selection, state.scale) : null;

    const f = state.function >= 0 && state.function < profile.functions.name.length ? state.function : -1;
    const isSandwich = state.view === "sandwich" && f >= 0;
    if (this.made("view", this.known.selection, state.order, state.reverse)) {
      this.view = (state.reverse ? reversed : callTree)(this.selection, state.order);
    }
    if (isSandwich && this.made("sandwich", this.known.view, f)) this.sandwich = sandwich(this.selection, state.order, f);
    this.root = this.zoomed();
    this.shown = isSandwich ? "sandwich" : state.view === "sandwich" ? "flame" : state.view;
    this.show();
    this.rendered = (this.rendered ?? 0) + 1;
  }

  // accepts says of each context whether the filters let it pass.
  accepts() {
    const { contexts, header } = this.profile;
    const wanted = ["process", "thread", "container"].filter((by) => this.state[by] !== "");
    return header.contexts.map((_, i) => wanted.every((by) => contexts[by].names[contexts[by].of[i]] === this.state[by]));
  }

  zoomed() {
    let box = this.view.root;
    for (const frame of this.state.zoom) {
      const next = box.children.find((b) => b.frame === frame);
      if (!next) break;
      box = next;
    }
    return box;
  }

  show() {
    const { shown, state } = this;
    for (const view of ["flame", "table", "tree"]) byID(view).hidden = view !== (shown === "sandwich" ? "flame" : shown);
    this.showControls();
    this.showFilters();
    this.showMatched();
    this.showCrumbs();
    if (this.made("legend", this.palette.dark, state.palette)) showLegend(this);
    if (this.comparison) this.showVanished();
    if (this.hasGraph()) this.showGraph();
    else if (shown === "table") this.table.show();
    else if (this.made("tree", this.known.view, state.zoom, this.known.search, this.palette.dark, state.palette, state.scale)) this.callTree.show();
    this.point(null, false);
  }

  hasGraph() {
    return this.shown === "flame" || this.shown === "sandwich";
  }

  showGraph() {
    const { state } = this;
    const what = this.shown === "sandwich" ? { callers: this.sandwich.callers.root, callees: this.sandwich.callees.root } : { root: this.root };
    const moved = this.made("graph", this.shown, this.shown === "sandwich" ? this.known.sandwich : [this.known.view, state.zoom], state.icicle);
    this.graph.set(what, { icicle: state.icicle || this.shown === "sandwich", palette: this.palette, found: this.found, colourOf: (box) => this.colourOf(box) }, !moved);
    byID("empty").hidden = this.selection.total[0] > 0;
  }

  colourOf(box) {
    const { comparison, palette } = this;
    if (!comparison) return palette.classes[box.info.class][shadeOf(box.info.function)];
    switch (comparison.verdict(box.before, box.total)) {
      case "same":
        return unchangedColour(palette.dark);
      case "new":
        return changeColour(NaN, null, palette.dark);
    }
    return changeColour(comparison.strength(box.before, box.total), changePalettes[this.state.palette], palette.dark);
  }

  showControls() {
    const { state, shown, profile } = this;
    for (const button of document.querySelectorAll("#views button")) {
      button.setAttribute("aria-pressed", String(button.value === shown));
      if (button.value === "sandwich") button.hidden = shown !== "sandwich" && state.function < 0;
    }
    const pressed = { icicle: state.icicle, reverse: state.reverse, case: state.matchCase, only: state.only };
    for (const [id, on] of Object.entries(pressed)) byID(id).setAttribute("aria-pressed", String(on));
    byID("theme").setAttribute("aria-pressed", String(this.palette.dark));
    if (byID("search").value !== state.search) byID("search").value = state.search;
    byID("order").value = state.order;
    byID("by").value = state.by;
    byID("type").value = String(this.selection.type);
    byID("type").closest("label").hidden = profile.header.types.length < 2;
    for (const label of document.querySelectorAll(".comparing")) label.hidden = !profile.isDiff;
    if (this.comparison) {
      byID("scale").value = this.comparison.by;
      byID("scale").options[0].disabled = !this.comparison.canScaleByDuration;
      byID("palette").setAttribute("aria-pressed", String(state.palette === "orange"));
      byID("noise").setAttribute("aria-pressed", String(state.noise));
    }
    const unit = profile.header.types[this.selection.type].unit;
    const { selection } = this;
    let sum = formatValue(selection.total[0], unit);
    if (unit !== "count" && selection.count !== null) sum += `, ${formatCount(selection.count)} samples`;
    if (this.comparison) {
      sum = `${formatValue(selection.before[1][0], unit)} → ${sum}`;
    }
    byID("sum").textContent = sum;
  }

  // showFilters lists what can be chosen, with how much each has.
  showFilters() {
    const { profile, state, selection } = this;
    if (!this.made("filters", selection.type, state.process, state.thread, state.container)) return;
    const { header, rows, contexts } = profile;
    const sides = header.profiles.length;
    const values = rows.columns[selection.type * sides + sides - 1];
    const perContext = new Float64Array(header.contexts.length);
    for (let r = 0; r < values.length; r++) perContext[rows.context[r]] += values[r];
    const all = perContext.reduce((a, b) => a + b, 0);
    const inProcess = (i) => state.process === "" || contexts.process.names[contexts.process.of[i]] === state.process;
    for (const by of ["process", "thread", "container"]) {
      const sums = new Map();
      perContext.forEach((value, i) => {
        const name = contexts[by].names[contexts[by].of[i]];
        if (by !== "thread" || inProcess(i)) sums.set(name, (sums.get(name) ?? 0) + value);
      });
      const select = byID(by);
      select.closest("label").hidden = contexts[by].names.length < 2;
      const list = [...sums].sort((a, b) => b[1] - a[1]).slice(0, maxOptions);
      if (state[by] && !list.some(([name]) => name === state[by])) list.unshift([state[by], sums.get(state[by]) ?? 0]);
      const options = list.map(([name, value]) => [name, `${shorten(name)} — ${formatShare(value, all)}`]);
      setOptions(select, [["", "all"], ...options], state[by]);
    }
    for (const option of byID("by").options) option.hidden = option.value !== "none" && contexts[option.value].names.length < 2;
  }

  showMatched() {
    const { selection, foundRows, profile, state } = this;
    const text = byID("matched");
    text.classList.toggle("error", !!this.searchError);
    byID("search").setAttribute("aria-invalid", String(!!this.searchError));
    if (!foundRows) {
      text.textContent = this.searchError ? "not a regular expression" : "";
      this.matched = null;
      return;
    }
    const sides = profile.header.profiles.length;
    const values = profile.rows.columns[selection.type * sides + sides - 1];
    const accepts = this.made("accepts", state.process, state.thread, state.container) ? (this.accepted = this.accepts()) : this.accepted;
    let all = 0;
    let matched = 0;
    for (let r = 0; r < values.length; r++) {
      if (!accepts[profile.rows.context[r]]) continue;
      all += values[r];
      if (foundRows[r]) matched += values[r];
    }
    this.matched = { matched, all };
    text.textContent = `${formatShare(matched, all)} matched`;
    text.title = formatValue(matched, profile.header.types[selection.type].unit);
  }

  showCrumbs() {
    const list = byID("crumbs");
    const boxes = this.shown === "table" ? [] : this.shown === "sandwich" ? [this.sandwich.callees.root] : [...ancestors(this.root), this.root];
    list.parentElement.hidden = this.shown === "sandwich" || boxes.length < 2;
    list.replaceChildren(
      ...boxes.map((box, i) => {
        const button = element("button", { type: "button", text: shorten(box.info.name, 48), title: box.info.name });
        if (i === boxes.length - 1) button.setAttribute("aria-current", "true");
        button.addEventListener("click", () => this.choose(box));
        return element("li", {}, button);
      }),
    );
    list.scrollLeft = list.scrollWidth;
  }

  showVanished() {
    const { selection, comparison, profile, state } = this;
    if (!this.made("vanished", this.known.selection, state.scale)) return;
    const { list, hidden } = comparison.vanished();
    const [, total] = selection.before;
    const unit = profile.header.types[selection.type].unit;
    const sum = list.reduce((all, n) => all + total[n], 0);
    let text = list.length === 0 ? "Nothing vanished" : `Vanished: ${formatCount(list.length)} ${list.length === 1 ? "call" : "calls"} with ${formatShare(sum, comparison.totalBefore)} of before`;
    if (hidden > 0) text += ` (and ${formatCount(hidden)} within noise)`;
    byID("vanished-title").textContent = text;
    const items = list.slice(0, maxVanished).map((n) => {
      const names = [];
      for (let m = n; m > 0; m = selection.tree.parent[m]) names.push(profile.describe(selection.tree, selection.tree.frame[m]).name);
      const bar = element("span", { class: "bar" });
      bar.style.width = Math.max(1, (100 * total[n]) / total[list[0]]) + "%";
      const change = formatPoints(comparison.change(total[n], 0));
      return element(
        "li",
        { title: names.slice().reverse().join("\n") },
        element("span", { class: "track" }, bar),
        element("span", { class: "number", text: change, title: formatValue(total[n], unit) + " before" }),
        element("span", { class: "fn", text: names[0] }),
        element("span", { class: "callers", text: names.length > 1 ? "called by " + names.slice(1, 4).join(" ← ") : "" }),
      );
    });
    byID("vanished-list").replaceChildren(...items);
    byID("vanished").hidden = list.length === 0 && hidden === 0;
  }

  // point says what is known about a box: the one under the pointer, or the one
  // that the keyboard went to; with null, about what fills the view.
  point(box, spoken) {
    this.pointed = box ?? this.graph.focused?.box ?? null;
    const shown = this.pointed ?? (this.shown === "sandwich" ? this.sandwich.callees.root : this.root);
    const text = this.describe(shown);
    byID("about-name").textContent = shown.info.name;
    byID("about-name").title = shown.info.name;
    byID("about-sums").textContent = text.sums;
    byID("about-where").textContent = text.where;
    if (!spoken || !box) return;
    byID("spoken").textContent = `${shown.info.name}. ${text.sums}. ${text.where}`;
    this.pathTree.show(box);
  }

  describe(box) {
    const { selection, profile, comparison } = this;
    const unit = profile.header.types[selection.type].unit;
    const all = selection.total[0];
    const parts = [];
    if (comparison) {
      const verdict = comparison.verdict(box.before, box.total);
      const remark = { same: " (within noise)", new: " (new)" }[verdict] ?? "";
      parts.push(formatPoints(comparison.change(box.before, box.total)) + remark);
      parts.push(`${formatValue(box.before, unit)} → ${formatValue(box.total, unit)}`);
    } else {
      parts.push(`${formatShare(box.total, all)} · ${formatValue(box.total, unit)}`);
    }
    if (this.shown !== "sandwich" && this.root.parent && box.depth > this.root.depth) parts.push(`${formatShare(box.total, this.root.total)} of the view`);
    if (box.self > 0) parts.push(`self ${formatShare(box.self, all)}`);
    const { info } = box;
    const where = [info.kind === "group" ? "" : classes[info.class].label + (info.inlined ? `, ${info.kind}` : ""), info.binary, info.file];
    return { sums: parts.join(" · "), where: where.filter(Boolean).join(" · ") };
  }

  // choose is what a click or Enter does: zoom, or in a sandwich go to the
  // function.
  choose(box) {
    if (this.shown === "sandwich") {
      if (box.info.function >= 0 && box.parent) this.change({ function: box.info.function });
      return;
    }
    const zoom = box.path().map((b) => b.frame);
    if (box === this.root && box.parent) zoom.pop(); // once more: back
    this.change({ zoom, view: "flame" });
  }

  showSandwich() {
    const box = this.pointed ?? this.root;
    const f = box.info.function >= 0 ? box.info.function : this.state.function;
    if (f >= 0) this.change({ view: "sandwich", function: f });
  }

  nextMatch(step) {
    if (!this.found || !this.hasGraph()) return;
    if (document.activeElement !== byID("search")) this.graph.canvas.focus({ preventScroll: true });
    const count = this.graph.next(step);
    if (count === 0) byID("spoken").textContent = "No match is wide enough to be seen here.";
  }

  escape() {
    if (this.state.search !== "") this.change({ search: "", only: false }, true);
    else if (this.shown === "sandwich") this.change({ view: "flame" });
    else if (this.state.zoom.length > 0) this.change({ zoom: this.state.zoom.slice(0, -1) });
    if (document.activeElement === byID("search")) byID("search").blur();
  }

  listen() {
    const { profile } = this;
    setOptions(byID("type"), profile.header.types.map((t, i) => [String(i), t.name]), "");
    const toggle = (id, change) => byID(id).addEventListener("click", () => change(byID(id)));
    toggle("icicle", () => this.change({ icicle: !this.state.icicle }));
    toggle("reverse", () => this.change({ reverse: !this.state.reverse, zoom: [] }));
    toggle("case", () => this.change({ matchCase: !this.state.matchCase }, true));
    toggle("only", () => this.change({ only: !this.state.only }));
    toggle("theme", () => this.change({ theme: this.palette.dark ? "light" : "dark" }, true));
    toggle("palette", () => this.change({ palette: this.state.palette === "orange" ? "red" : "orange" }, true));
    toggle("noise", () => this.change({ noise: !this.state.noise }));
    toggle("next", () => this.nextMatch(1));
    toggle("previous", () => this.nextMatch(-1));
    toggle("open-help", () => byID("help").showModal());
    toggle("close-help", () => byID("help").close());
    toggle("open-sandwich", () => this.showSandwich());
    toggle("copy", () => this.copy());
    toggle("svg", () => this.saveSVG());
    toggle("more", (button) => {
      const open = document.body.classList.toggle("options-open");
      button.setAttribute("aria-expanded", String(open));
    });
    for (const button of document.querySelectorAll("#views button")) button.addEventListener("click", () => this.change({ view: button.value }));
    const select = (id, change) => byID(id).addEventListener("change", (e) => this.change(change(e.target.value)));
    select("order", (order) => ({ order }));
    select("by", (by) => ({ by, zoom: [] }));
    select("type", (type) => ({ type: Number(type) }));
    select("scale", (scale) => ({ scale }));
    select("process", (process) => ({ process, thread: "" }));
    select("thread", (thread) => ({ thread }));
    select("container", (container) => ({ container }));
    byID("search").addEventListener("input", (e) => this.change({ search: e.target.value }, true));
  }

  async copy() {
    const box = this.pointed ?? this.root;
    const text = [...ancestors(box), box].filter((b) => b.parent).map((b) => b.info.name).join(";");
    try {
      await navigator.clipboard.writeText(text);
      byID("spoken").textContent = "Copied.";
    } catch {
      byID("spoken").textContent = "This browser does not let the page copy.";
    }
  }

  titleOf(box) {
    return `${box.info.name}\n${this.describe(box).sums}`;
  }

  svg() {
    return svgOf(this.graph, this.graph.rows, this.graph.width, (box) => this.titleOf(box));
  }

  saveSVG() {
    if (!this.hasGraph()) this.change({ view: "flame" });
    const url = URL.createObjectURL(new Blob([this.svg()], { type: "image/svg+xml" }));
    const link = element("a", { href: url, download: "profile.svg" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  // print puts the whole graph, and not only what is in view, on paper, in the
  // colours for light backgrounds.
  print() {
    if (!this.hasGraph()) return;
    const { palette } = this;
    this.palette = paletteOf(false);
    this.graph.look.palette = this.palette;
    const picture = new DOMParser().parseFromString(this.svg(), "image/svg+xml").documentElement;
    this.palette = palette;
    this.graph.look.palette = palette;
    picture.removeAttribute("height");
    picture.setAttribute("width", "100%");
    byID("print").replaceChildren(document.importNode(picture, true));
  }
}

const maxOptions = 500; // of a filter
const maxVanished = 40;

function shorten(text, length = 60) {
  return text.length > length ? text.slice(0, length - 1) + "…" : text;
}

async function start() {
  const loading = byID("loading");
  if (typeof DecompressionStream === "undefined") {
    loading.textContent = "This browser is too old for this page: it needs Chrome or Edge 103, Firefox 113, Safari 16.4, or newer.";
    return;
  }
  try {
    const page = new Page(new Profile(await readData(byID("data").textContent)));
    loading.hidden = true;
    document.body.classList.add("ready");
    performance.mark("ready");
    // For the console, and for tests.
    window.staccato = page;
  } catch (error) {
    loading.textContent = "The profile in this page cannot be read: " + error.message;
    throw error;
  }
}

start();
