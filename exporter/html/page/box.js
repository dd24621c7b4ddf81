// Boxes: what is drawn. A box stands for all nodes of a tree that have the same
// way from the top of the view. They are made when they are needed, since a
// view shows few of a large tree.

class Box {
  constructor(view, parent, frame) {
    this.view = view;
    this.parent = parent;
    this.frame = frame;
    this.depth = parent ? parent.depth + 1 : 0;
    this.nodes = [];
    this.total = 0;
    this.self = 0;
    this.before = 0; // in a comparison: total before
    this.kids = null;
  }

  get info() {
    if (!this.about) this.about = this.view.describe(this);
    return this.about;
  }

  // children are the boxes above this one, in the view's order.
  get children() {
    if (!this.kids) this.kids = this.view.expand(this).sort(this.view.order);
    return this.kids;
  }

  path() {
    const path = [];
    for (let box = this; box.parent; box = box.parent) path.unshift(box);
    return path;
  }
}

const byWeight = (a, b) => b.total - a.total || byName(a, b);
const byName = (a, b) => (a.info.name < b.info.name ? -1 : a.info.name > b.info.name ? 1 : a.frame - b.frame);

class View {
  constructor(selection, order) {
    this.selection = selection;
    this.order = order === "weight" ? byWeight : byName;
  }

  describe(box) {
    if (!box.parent && this.rootInfo) return this.rootInfo;
    if (!box.parent) return { name: "all", kind: "group", class: "group", function: -1, binary: "", file: "" };
    return this.selection.profile.describe(this.selection.tree, box.frame);
  }

  // collect puts nodes into boxes by their frame.
  collector(parent) {
    const boxes = new Map();
    return {
      boxes,
      at: (frame) => {
        let box = boxes.get(frame);
        if (!box) {
          box = new Box(this, parent, frame);
          boxes.set(frame, box);
        }
        return box;
      },
    };
  }
}

// CalleesView goes from callers to callees, from the given nodes on.
class CalleesView extends View {
  constructor(selection, order, nodes, rootInfo) {
    super(selection, order);
    this.rootInfo = rootInfo;
    this.root = new Box(this, null, -1);
    for (const n of nodes) this.add(this.root, n);
  }

  add(box, n) {
    const s = this.selection;
    box.nodes.push(n);
    box.total += s.total[n];
    box.self += s.self[n];
    if (s.before) box.before += s.before[1][n];
  }

  expand(box) {
    const { tree, total } = this.selection;
    const { boxes, at } = this.collector(box);
    for (const parent of box.nodes) {
      for (let n = parent + 1; n < tree.end[parent]; n = tree.end[n]) {
        if (total[n] > 0) this.add(at(tree.frame[n]), n);
      }
    }
    return [...boxes.values()];
  }
}

// CallersView goes from callees to callers. A box keeps, beside the nodes, how
// much of what the view shows came that way.
class CallersView extends View {
  // weights are the values of nodes; those of before may be null.
  constructor(selection, order, nodes, weights, before, rootInfo) {
    super(selection, order);
    this.rootInfo = rootInfo;
    this.root = new Box(this, null, -1);
    this.root.weights = [];
    this.root.weightsBefore = before ? [] : null;
    for (const n of nodes) this.add(this.root, n, weights[n], before ? before[n] : 0);
  }

  add(box, n, weight, before) {
    if (!box.weights) {
      box.weights = [];
      box.weightsBefore = this.root.weightsBefore ? [] : null;
    }
    box.nodes.push(n);
    box.weights.push(weight);
    box.total += weight;
    if (box.weightsBefore) {
      box.weightsBefore.push(before);
      box.before += before;
    }
  }

  // above returns the node that the box above this one has for a node of this
  // one; below 1 means that there is none.
  above(box, n) {
    return this.selection.tree.parent[n];
  }

  expand(box) {
    const { tree } = this.selection;
    const { boxes, at } = this.collector(box);
    for (let i = 0; i < box.nodes.length; i++) {
      const n = this.above(box, box.nodes[i]);
      if (n > 0) this.add(at(tree.frame[n]), n, box.weights[i], box.weightsBefore ? box.weightsBefore[i] : 0);
      else box.self += box.weights[i];
    }
    return [...boxes.values()].filter((b) => b.total > 0);
  }
}

// ReversedView has the groups, if there are any, below the functions that
// samples were taken in, and those below their callers.
class ReversedView extends CallersView {
  above(box, n) {
    const { tree } = this.selection;
    const isGroup = (node) => tree.groups.length > 0 && tree.parent[node] === 0;
    const leaves = tree.groups.length > 0 ? 1 : 0; // depth of the boxes below leaves
    const next = box.depth <= leaves ? n : tree.parent[n];
    return isGroup(next) ? 0 : next;
  }

  expand(box) {
    if (box.parent || this.selection.tree.groups.length === 0) return super.expand(box);
    const { tree } = this.selection;
    const { boxes, at } = this.collector(box);
    let group = 1;
    for (let i = 0; i < box.nodes.length; i++) {
      while (box.nodes[i] >= tree.end[group]) group = tree.end[group];
      this.add(at(tree.frame[group]), box.nodes[i], box.weights[i], box.weightsBefore ? box.weightsBefore[i] : 0);
    }
    return [...boxes.values()].filter((b) => b.total > 0);
  }
}

// callTree is the usual view: everything, from the threads' beginning on.
function callTree(selection, order) {
  return new CalleesView(selection, order, [0]);
}

// reversed begins with the functions that the samples were taken in.
function reversed(selection, order) {
  const nodes = [];
  for (let n = 1; n < selection.tree.size; n++) {
    if (selection.self[n] > 0 || (selection.before && selection.before[0][n] > 0)) nodes.push(n);
  }
  return new ReversedView(selection, order, nodes, selection.self, selection.before && selection.before[0]);
}

// sandwich returns the callers and the callees of a function.
function sandwich(selection, order, f) {
  const nodes = selection.outermost(f);
  const { functions } = selection.profile;
  const info = { name: functions.name[f], kind: "", class: "native", function: f, binary: functions.binary[f].path, file: functions.file[f] };
  if (nodes.length > 0) Object.assign(info, selection.profile.describe(selection.tree, selection.tree.frame[nodes[0]]));
  return {
    callers: new CallersView(selection, order, nodes, selection.total, selection.before && selection.before[1], info),
    callees: new CalleesView(selection, order, nodes, info),
  };
}
