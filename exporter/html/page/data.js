// The data in the page: base64 of gzip of what encode.go describes.

// readData returns the profile that the text holds.
async function readData(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return decode(new Uint8Array(await new Response(stream).arrayBuffer()));
}

// decode reads the header, the tables and the tree.
function decode(bytes) {
  let at = 0;

  function number() {
    let b = bytes[at++];
    if (b < 0x80) return b;
    let value = b & 0x7f;
    let scale = 0x80;
    do {
      b = bytes[at++];
      value += (b & 0x7f) * scale; // not shifts: those are of 32 bits
      scale *= 0x80;
    } while (b >= 0x80);
    return value;
  }

  function numbers(array) {
    for (let i = 0; i < array.length; i++) array[i] = number();
    return array;
  }

  const utf8 = new TextDecoder();
  function text(length) {
    at += length;
    return utf8.decode(bytes.subarray(at - length, at));
  }

  const header = JSON.parse(text(number()));
  const strings = Array.from(numbers(new Uint32Array(header.strings)), text);
  const binaries = Array.from({ length: header.binaries }, () => ({ path: strings[number()], buildID: strings[number()] }));

  const functions = {
    name: Array.from(numbers(new Uint32Array(header.functions)), (s) => strings[s]),
    binary: Array.from(numbers(new Uint32Array(header.functions)), (b) => binaries[b]),
    file: Array.from(numbers(new Uint32Array(header.functions)), (s) => strings[s]),
  };

  const frames = {
    function: numbers(new Uint32Array(header.frames)),
    kind: numbers(new Uint16Array(header.frames)),
    inlined: new Uint8Array(header.frames),
  };
  for (let f = 0; f < header.frames; f++) {
    frames.inlined[f] = frames.kind[f] & 1;
    frames.kind[f] >>= 1;
  }

  const tree = readTree(numbers(new Uint32Array(header.nodes - 1)), numbers(new Uint32Array(header.nodes - 1)));

  const rows = { node: numbers(new Uint32Array(header.rows)), context: null, columns: [] };
  for (let r = 1; r < header.rows; r++) rows.node[r] += rows.node[r - 1];
  rows.context = numbers(new Uint32Array(header.rows));
  for (const { of, factor } of header.columns) {
    rows.columns.push(of < 0 ? numbers(new Float64Array(header.rows)) : rows.columns[of].map((v) => v * factor));
  }
  return { header, functions, frames, tree, rows };
}

// readTree returns the tree in preorder; node 0 is the root. The nodes below
// node n are those from n + 1 to end[n] - 1.
function readTree(up, frame) {
  const size = up.length + 1;
  const tree = { size, frame: new Uint32Array(size), parent: new Int32Array(size), end: null };
  tree.parent[0] = -1;
  for (let n = 1; n < size; n++) {
    let parent = n - 1;
    for (let levels = up[n - 1]; levels > 0; levels--) parent = tree.parent[parent];
    tree.parent[n] = parent;
    tree.frame[n] = frame[n - 1];
  }
  tree.end = ends(tree.parent);
  return tree;
}

// ends returns where the nodes below each node end.
function ends(parent) {
  const end = new Uint32Array(parent.length);
  for (let n = parent.length - 1; n >= 0; n--) {
    if (end[n] === 0) end[n] = n + 1;
    if (n > 0 && end[parent[n]] < end[n]) end[parent[n]] = end[n];
  }
  return end;
}
