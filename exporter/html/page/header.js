// The head of the page: where, when and how well the profile was taken.

function fact(list, name, value, title) {
  if (value === undefined || value === "") return;
  list.append(element("div", title ? { title } : {}, element("dt", { text: name }), element("dd", { text: value })));
}

// notesOf lists the comments that nothing else says. They can be many.
function notesOf(comments) {
  const list = element("ul", { tabindex: "0", "aria-label": "Notes" }, ...comments.map((text) => element("li", { text })));
  const details = element("details", { class: "notes" }, element("summary", { text: comments.length === 1 ? "1 note" : `${comments.length} notes` }), list);
  return details;
}

// factList says about one profile what its comments and fields tell.
function factList(profile, side) {
  const { header, rows } = profile;
  const facts = header.profiles[side];
  const list = element("dl", { class: "facts" });
  fact(list, "Host", facts.host);
  fact(list, "Kernel", facts.kernel);
  fact(list, "CPUs", facts.cpus);
  if (facts.time > 0) fact(list, "Taken", timeText(facts.time));
  if (facts.duration > 0) fact(list, "For", formatDuration(facts.duration));
  fact(list, "Rate", facts.frequency);
  if (facts.period > 0 && facts.periodUnit) fact(list, "Period", formatValue(facts.period, facts.periodUnit), "what one sample stands for: " + facts.periodType);
  if (header.count >= 0) {
    const counts = rows.columns[header.count * header.profiles.length + side];
    fact(list, "Samples", formatCount(counts.reduce((a, b) => a + b, 0)));
  }
  if (facts.lost) fact(list, "Lost", facts.lost.map((line) => line.replace(/^lost[:,] /, "")).join("; "));
  fact(list, "Complete", facts.complete, "stacks that are whole, from the first call on");
  fact(list, "Named", facts.named, "stacks in which every frame has a name");
  return list;
}

function timeText(ms) {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

function showHeader(profile) {
  const { header } = profile;
  const [first] = header.profiles;
  const last = header.profiles[header.profiles.length - 1];
  const name = last.command || first.command || "profile";
  byID("command").textContent = profile.isDiff ? "Comparison: " + name : name;
  byID("command").title = name;
  document.title = (profile.isDiff ? "Comparison: " : "") + name + " – staccato";
  byID("about-profile").open = matchMedia("(min-width: 701px)").matches;
  const facts = byID("facts");
  if (profile.isDiff) {
    header.profiles.forEach((p, side) => {
      const title = element("h2", { text: side === 0 ? "Before" : "After" });
      const block = element("section", { class: "side" }, title, factList(profile, side));
      fact(block.querySelector("dl"), "Command", p.command);
      if (p.comments) block.append(notesOf(p.comments));
      facts.append(block);
    });
  } else {
    facts.append(factList(profile, 0));
    if (first.comments) facts.append(notesOf(first.comments));
  }
  const notes = [];
  if (header.pruned) {
    notes.push(`${formatCount(header.pruned)} calls with less than ${header.prunedShare}% each are merged into “(other)”, so that the page stays quick. ` +
      "Search finds nothing in them; all sums are right.");
  }
  byID("note").textContent = notes.join(" ");
  byID("note").hidden = notes.length === 0;
}

// showLegend explains the colours that the profile has.
function showLegend(page) {
  const legend = byID("legend");
  const { profile, palette } = page;
  const entries = [];
  const entry = (label, colour, edge, tag) => {
    const swatch = element("span", { class: "swatch " + edge });
    swatch.style.background = colour;
    if (tag) swatch.textContent = tag;
    entries.push(element("li", {}, swatch, label));
  };
  if (page.comparison) {
    const look = changePalettes[page.state.palette];
    entry("grew", changeColour(1, look, palette.dark), "", "▲");
    entry("shrank", changeColour(-1, look, palette.dark), "", "▼");
    entry("new", changeColour(NaN, look, palette.dark), "", "+");
    entry("within noise (2σ)", unchangedColour(palette.dark), "");
  } else {
    const used = new Set();
    for (let f = 0; f < profile.frames.function.length; f++) used.add(classOf(profile.header.kinds[profile.frames.kind[f]], profile.frames.inlined[f] === 1));
    for (const [name, c] of Object.entries(classes)) if (used.has(name)) entry(c.label, palette.classes[name][2], c.edge, c.tag);
  }
  legend.replaceChildren(...entries);
}
