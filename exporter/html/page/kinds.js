// What made a frame: its colour, and a second cue for those who do not see it.

// A class is how several kinds look. light and dark are its colours as hue,
// saturation, lightness; edge is the second cue, tag the third: a letter.
const classes = {
  kernel: { label: "kernel", tag: "k", light: [30, 96, 71], dark: [26, 70, 27], edge: "bar" },
  native: { label: "native", tag: "", light: [6, 88, 80], dark: [4, 46, 34], edge: "" },
  cplusplus: { label: "C++", tag: "c", light: [50, 92, 69], dark: [48, 70, 23], edge: "" },
  inlined: { label: "inlined", tag: "i", light: [187, 62, 74], dark: [190, 62, 23], edge: "dashed" },
  go: { label: "Go", tag: "g", light: [214, 84, 83], dark: [214, 50, 34], edge: "" },
  interpreter: { label: "interpreted", tag: "p", light: [90, 52, 81], dark: [92, 34, 26], edge: "" },
  jit: { label: "JIT", tag: "j", light: [140, 50, 69], dark: [146, 56, 21], edge: "dotted" },
  lost: { label: "lost, truncated", tag: "", light: [0, 0, 86], dark: [0, 0, 27], edge: "hatched" },
  idle: { label: "idle", tag: "", light: [220, 14, 91], dark: [220, 10, 24], edge: "" },
  other: { label: "other", tag: "", light: [280, 22, 87], dark: [280, 14, 30], edge: "" },
  group: { label: "group", tag: "", light: [220, 22, 84], dark: [222, 20, 33], edge: "" },
};

const classOfKind = {
  kernel: "kernel",
  native: "native",
  "c++": "cplusplus",
  go: "go",
  lost: "lost",
  idle: "idle",
  jit: "jit",
  jvm: "jit",
  v8js: "jit",
  dotnet: "jit",
  beam: "jit",
  cpython: "interpreter",
  ruby: "interpreter",
  php: "interpreter",
  perl: "interpreter",
  lua: "interpreter",
  other: "other",
  group: "group",
};

function classOf(kind, inlined) {
  if (inlined) return "inlined";
  return classOfKind[kind] ?? "native";
}

// shades is how many slightly different colours a class has, so that
// neighbours can be told apart.
const shades = 5;

function hsl([h, s, l]) {
  return `hsl(${h} ${s}% ${l}%)`;
}

// paletteOf returns the colours of all classes and shades.
function paletteOf(dark) {
  const palette = { dark, text: dark ? "#f4f4f5" : "#1b1b1f", classes: {} };
  for (const [name, { light, dark: night }] of Object.entries(classes)) {
    const [h, s, l] = dark ? night : light;
    palette.classes[name] = Array.from({ length: shades }, (_, i) => hsl([h + 2 * (i - 2), s, dark ? l - i * 0.9 : l + i * 1.6]));
  }
  return palette;
}

// shadeOf gives a function the same shade in every view.
function shadeOf(functionNumber) {
  return (Math.imul(functionNumber + 1, 0x9e3779b1) >>> 16) % shades;
}

// The colours of changes: [hue, saturation] of what grew and what shrank.
const changePalettes = {
  red: { grew: [4, 78], shrank: [214, 74] },
  orange: { grew: [30, 92], shrank: [214, 80] },
};

// changeColour shows a change from -1 to 1; NaN is a change that is new.
function changeColour(change, palette, dark) {
  if (Number.isNaN(change)) return hsl(dark ? [50, 75, 23] : [50, 95, 66]);
  const [h, s] = change > 0 ? palette.grew : palette.shrank;
  const strength = Math.min(1, Math.abs(change));
  return hsl([h, s * (dark ? 0.75 : 1), dark ? 25 + 9 * strength : 91 - 21 * strength]);
}

const unchangedColour = (dark) => (dark ? "hsl(220 6% 26%)" : "hsl(220 9% 89%)");
