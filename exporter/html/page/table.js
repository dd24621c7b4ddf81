// The table of functions.

const tableStep = 200; // rows that are shown at once

// columnsOf returns the table's columns: title, key to sort by, and the text
// and value of an entry.
function columnsOf(page) {
  const { selection, comparison } = page;
  const unit = page.profile.header.types[selection.type].unit;
  const all = selection.total[0];
  const share = (value) => ({ share: formatShare(value, all), value: formatValue(value, unit) });
  const name = { key: "name", title: "Function", text: true };
  const binary = { key: "binary", title: "Binary", text: true };
  if (!comparison) {
    return [
      { key: "self", title: "Self", cell: (e) => share(e.self) },
      { key: "total", title: "Total", cell: (e) => share(e.total) },
      name,
      binary,
    ];
  }
  return [
    { key: "selfChange", title: "Self change", cell: (e) => ({ share: formatPoints(e.selfChange) }) },
    { key: "change", title: "Total change", cell: (e) => ({ share: formatPoints(e.change), verdict: e.verdict }) },
    { key: "before", title: "Before", cell: (e) => ({ share: formatShare(e.before * comparison.scale, comparison.whole) }) },
    { key: "total", title: "After", cell: (e) => ({ share: formatShare(e.total, comparison.whole) }) },
    name,
    binary,
  ];
}

// entriesOf returns the table's rows, sorted. hidden counts changes within noise.
function entriesOf(page) {
  const { profile, selection, comparison, state, found } = page;
  const { self, total, before } = selection.functions();
  const entries = [];
  let hidden = 0;
  for (let f = 0; f < total.length; f++) {
    if (total[f] === 0 && !(before && before.total[f] > 0)) continue;
    if (found && !found[f]) continue;
    const entry = { function: f, self: self[f], total: total[f], name: profile.functions.name[f], binary: profile.functions.binary[f].path };
    if (comparison) {
      entry.before = before.total[f];
      entry.change = comparison.change(before.total[f], total[f]);
      entry.selfChange = comparison.change(before.self[f], self[f]);
      entry.verdict = comparison.verdict(before.total[f], total[f]);
      if (entry.verdict === "same" && comparison.verdict(before.self[f], self[f]) === "same" && !state.noise) {
        hidden++;
        continue;
      }
    }
    entries.push(entry);
  }
  let key = state.sort;
  if (!comparison && ["before", "change", "selfChange"].includes(key)) key = "self";
  if (comparison && key === "self") key = "selfChange";
  const text = key === "name" || key === "binary";
  const weigh = key === "change" || key === "selfChange" ? (e) => Math.abs(e[key]) : (e) => e[key];
  const compare = text ? (a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0) : (a, b) => weigh(a) - weigh(b);
  const sign = state.ascending ? 1 : -1;
  entries.sort((a, b) => sign * compare(a, b) || (comparison ? Math.abs(b.change) - Math.abs(a.change) : b.total - a.total) || a.function - b.function);
  return { entries, hidden, key };
}

class FunctionTable {
  constructor(page, section) {
    this.page = page;
    this.section = section;
    this.limit = tableStep;
  }

  show() {
    const { page } = this;
    const { entries, hidden, key } = entriesOf(page);
    const columns = columnsOf(page);
    const head = element("tr");
    for (const column of columns) {
      const sorted = column.key === key ? (page.state.ascending ? "ascending" : "descending") : "none";
      const button = element("button", { type: "button", class: "sort", text: column.title });
      button.addEventListener("click", () => page.change({ sort: column.key, ascending: sorted === "descending" || (sorted === "none" && !!column.text) }));
      head.append(element("th", { scope: "col", "aria-sort": sorted, class: column.text ? "" : "number", "data-key": column.key }, button));
    }
    const body = element("tbody");
    for (const entry of entries.slice(0, this.limit)) body.append(this.row(columns, entry));
    const caption = element("caption", { text: this.caption(entries.length, hidden) });
    const parts = [element("table", {}, caption, element("thead", {}, head), body)];
    if (entries.length > this.limit) {
      const more = element("button", { type: "button", class: "more", text: `Show more (${formatCount(entries.length - this.limit)} left)` });
      more.addEventListener("click", () => {
        const from = this.limit;
        this.limit += 5 * tableStep;
        this.show();
        this.section.querySelectorAll("tbody button")[from]?.focus();
      });
      parts.push(more);
    }
    this.section.replaceChildren(...parts);
  }

  caption(shown, hidden) {
    let text = `${formatCount(shown)} functions` + (this.page.found ? " that match" : "");
    if (hidden > 0) text += `; ${formatCount(hidden)} with changes within noise (2σ) are hidden`;
    return text;
  }

  row(columns, entry) {
    const row = element("tr");
    for (const column of columns) {
      if (column.key === "name") {
        const button = element("button", { type: "button", class: "name", text: entry.name, title: "Callers and callees of " + entry.name });
        button.addEventListener("click", () => this.page.change({ view: "sandwich", function: entry.function }));
        row.append(element("th", { scope: "row" }, button));
      } else if (column.text) {
        row.append(element("td", { class: "binary", text: baseName(entry.binary), title: entry.binary }));
      } else {
        const { share, value, verdict } = column.cell(entry);
        const cell = element("td", { class: "number" }, element("span", { class: "share", text: share }));
        if (value) cell.append(element("span", { class: "value", text: value }));
        if (verdict) {
          const word = { new: "new", gone: "gone", grew: "▲", shrank: "▼", same: "≈" }[verdict];
          cell.prepend(element("span", { class: "verdict " + verdict, text: word, title: verdict === "same" ? "within noise" : verdict }));
        }
        row.append(cell);
      }
    }
    return row;
  }
}
