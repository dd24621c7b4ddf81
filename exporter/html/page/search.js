// Search: which functions match, and what share of the samples has one.

// compile returns the expression that a search means, or why it means none.
function compile(text, matchCase) {
  if (!text) return { expression: null };
  try {
    return { expression: new RegExp(text, matchCase ? "" : "i") };
  } catch (error) {
    return { expression: null, error: error.message };
  }
}

// matchFunctions returns a 1 for each function whose name matches.
function matchFunctions(profile, expression) {
  const { name } = profile.functions;
  const found = new Uint8Array(name.length);
  for (let f = 0; f < found.length; f++) found[f] = expression.test(name[f]) ? 1 : 0;
  return found;
}

// matchRows returns a 1 for each row that has a match in its stack. So a sample
// counts once, however many matches it has.
function matchRows(profile, found) {
  const { tree, rows, frames } = profile;
  const inside = new Uint8Array(tree.size);
  for (let n = 1; n < tree.size; n++) inside[n] = inside[tree.parent[n]] || found[frames.function[tree.frame[n]]] ? 1 : 0;
  const matched = new Uint8Array(rows.node.length);
  for (let r = 0; r < matched.length; r++) matched[r] = inside[rows.node[r]];
  return matched;
}
