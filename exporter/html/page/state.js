// All that the user has chosen, which the part of the address after # holds.

const defaults = {
  view: "flame", // flame, table, tree, sandwich
  icicle: false, // the root on top
  reverse: false, // leaves first
  order: "name", // or weight
  type: -1, // number of the type of value; -1 is the profile's own choice
  by: "none", // grouping
  process: "",
  thread: "",
  container: "",
  search: "",
  matchCase: false,
  only: false, // only samples that match the search
  zoom: [], // frames from the root to the box that fills the width
  function: -1, // of the sandwich
  sort: "self", // column of the table
  ascending: false,
  theme: "auto", // auto, dark, light
  palette: "red", // of comparisons; or orange
  scale: "duration", // of comparisons; or total
  noise: false, // show changes within noise in the table
};

const choices = {
  view: ["flame", "table", "tree", "sandwich"],
  order: ["name", "weight"],
  by: ["none", "process", "thread", "container"],
  sort: ["self", "total", "name", "binary", "before", "change", "selfChange"],
  theme: ["auto", "dark", "light"],
  palette: ["red", "orange"],
  scale: ["duration", "total"],
};

// writeHash returns what differs from the defaults.
function writeHash(state) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    const standard = defaults[key];
    if (Array.isArray(standard)) {
      if (value.length > 0) params.set(key, value.map((n) => n.toString(36)).join("."));
    } else if (value !== standard) {
      params.set(key, typeof value === "boolean" ? "1" : String(value));
    }
  }
  return params.toString();
}

// readHash is the opposite. Anyone may have written the text: what has no
// meaning is left out.
function readHash(text) {
  const state = { ...defaults };
  for (const [key, value] of new URLSearchParams(text.replace(/^#/, ""))) {
    if (!Object.hasOwn(defaults, key)) continue;
    const standard = defaults[key];
    if (Array.isArray(standard)) {
      const list = value.split(".").map((part) => parseInt(part, 36));
      if (list.length <= 10000 && list.every((n) => n >= 0)) state[key] = list;
    } else if (typeof standard === "boolean") {
      state[key] = value === "1";
    } else if (typeof standard === "number") {
      if (/^\d{1,9}$/.test(value)) state[key] = Number(value);
    } else if (!choices[key] || choices[key].includes(value)) {
      state[key] = value;
    }
  }
  return state;
}
