// What is shown of a profile: which samples, grouped by what, and their sums.

const groupings = {
  process: (c) => (c[0] && c[1] ? `${c[1]} (${c[0]})` : c[1] || c[0] || "no process"),
  thread: (c) => {
    const process = groupings.process(c);
    const thread = c[2] && c[3] ? `${c[3]} (${c[2]})` : c[3] || c[2];
    return thread ? `${process}: ${thread}` : process;
  },
  container: (c) => c[4] || "no container",
};

// Profile is the data with what is derived from it and does not change.
class Profile {
  constructor(data) {
    Object.assign(this, data);
    this.isDiff = this.header.profiles.length === 2;
    this.contexts = {}; // by grouping: names, and the name of each context
    for (const [by, nameOf] of Object.entries(groupings)) {
      const names = [];
      const index = new Map();
      const of = this.header.contexts.map((c) => {
        const name = nameOf(c);
        if (!index.has(name)) index.set(name, names.push(name) - 1);
        return index.get(name);
      });
      this.contexts[by] = { names, of };
    }
    this.trees = new Map([["none", { ...this.tree, rowNode: this.rows.node, groups: [] }]]);
  }

  // grouped returns the tree below whose root each group has a node, with
  // frames numbered from this.frames.function.length on.
  grouped(by) {
    if (!this.trees.has(by)) this.trees.set(by, this.group(by));
    return this.trees.get(by);
  }

  group(by) {
    const { names, of } = this.contexts[by];
    const { tree, rows } = this;
    const rowsOf = names.map(() => []);
    for (let r = 0; r < rows.node.length; r++) rowsOf[of[rows.context[r]]].push(r);

    const frame = [0];
    const parent = [-1];
    const rowNode = new Uint32Array(rows.node.length);
    const copy = new Int32Array(tree.size); // of a node, in the current group
    const copiedFor = new Int32Array(tree.size).fill(-1);
    const path = [];
    rowsOf.forEach((list, group) => {
      copy[0] = frame.push(this.frames.function.length + group) - 1;
      parent.push(0);
      copiedFor[0] = group;
      // Rows come in the order of the tree's nodes, so copies are in preorder too.
      for (const r of list) {
        let n = rows.node[r];
        for (; copiedFor[n] !== group; n = tree.parent[n]) path.push(n);
        let at = copy[n];
        while (path.length > 0) {
          n = path.pop();
          parent.push(at);
          at = frame.push(tree.frame[n]) - 1;
          copy[n] = at;
          copiedFor[n] = group;
        }
        rowNode[r] = at;
      }
    });
    const result = { size: frame.length, frame: Uint32Array.from(frame), parent: Int32Array.from(parent), rowNode, groups: names };
    result.end = ends(result.parent);
    return result;
  }

  // describe says what a frame of a tree is.
  describe(tree, frame) {
    const own = this.frames.function.length;
    if (frame >= own) return { name: tree.groups[frame - own], kind: "group", class: "group", function: -1, inlined: false, binary: "", file: "" };
    const f = this.frames.function[frame];
    const kind = this.header.kinds[this.frames.kind[frame]];
    const inlined = this.frames.inlined[frame] === 1;
    return {
      name: this.functions.name[f],
      kind,
      class: classOf(kind, inlined),
      function: f,
      inlined,
      binary: this.functions.binary[f].path,
      buildID: this.functions.binary[f].buildID,
      file: this.functions.file[f],
    };
  }
}

// Selection is a tree with the sums of the samples that are chosen: total and
// self of each node, for the profile shown and, in a comparison, the one before.
class Selection {
  // accepts says of each context whether it is chosen; onlyRows, when given,
  // of each row.
  constructor(profile, { type, by, accepts, onlyRows }) {
    this.profile = profile;
    this.type = type;
    this.tree = profile.grouped(by);
    const { header, rows } = profile;
    const sides = header.profiles.length;
    const column = (t, side) => rows.columns[t * sides + side];
    const chosen = new Uint8Array(rows.node.length);
    for (let r = 0; r < chosen.length; r++) chosen[r] = accepts[rows.context[r]] && (!onlyRows || onlyRows[r]) ? 1 : 0;
    this.chosen = chosen;

    [this.self, this.total] = this.sums(column(type, sides - 1));
    this.before = profile.isDiff ? this.sums(column(type, 0)) : null; // [self, total]
    const sum = (values) => {
      let all = 0;
      for (let r = 0; r < chosen.length; r++) if (chosen[r]) all += values[r];
      return all;
    };
    this.count = header.count < 0 ? null : sum(column(header.count, sides - 1));
    this.countBefore = header.count < 0 || !profile.isDiff ? null : sum(column(header.count, 0));
  }

  sums(values) {
    const { size, parent, rowNode } = this.tree;
    const self = new Float64Array(size);
    for (let r = 0; r < rowNode.length; r++) if (this.chosen[r]) self[rowNode[r]] += values[r];
    const total = self.slice();
    for (let n = size - 1; n > 0; n--) total[parent[n]] += total[n];
    return [self, total];
  }

  // functionOf returns the function of a node, -1 for groups and the root.
  functionOf(node) {
    const frame = this.tree.frame[node];
    return node === 0 || frame >= this.profile.frames.function.length ? -1 : this.profile.frames.function[frame];
  }

  // functions returns self and total of every function, before too. A stack in
  // which a function occurs twice counts once.
  functions() {
    if (this.perFunction) return this.perFunction;
    const size = this.profile.functions.name.length;
    const sums = () => ({ self: new Float64Array(size), total: new Float64Array(size) });
    const after = sums();
    const before = this.before ? sums() : null;
    const until = new Uint32Array(size); // the function's outermost call ends there
    for (let n = 1; n < this.tree.size; n++) {
      const f = this.functionOf(n);
      if (f < 0) continue;
      after.self[f] += this.self[n];
      if (before) before.self[f] += this.before[0][n];
      if (n < until[f]) continue;
      until[f] = this.tree.end[n];
      after.total[f] += this.total[n];
      if (before) before.total[f] += this.before[1][n];
    }
    this.perFunction = { ...after, before };
    return this.perFunction;
  }

  // outermost returns the nodes where a function is called, but not by itself.
  outermost(f) {
    const nodes = [];
    for (let n = 1; n < this.tree.size; ) {
      if (this.functionOf(n) === f) {
        nodes.push(n);
        n = this.tree.end[n];
      } else {
        n++;
      }
    }
    return nodes;
  }
}
