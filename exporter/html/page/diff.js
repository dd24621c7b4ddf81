// Comparing: how much more or less than before, and whether that is chance.

// Comparison says how to set values of before and after side by side.
class Comparison {
  // by is "duration" or "total".
  constructor(selection, by) {
    const [before, after] = selection.profile.header.profiles;
    this.selection = selection;
    this.totalBefore = selection.before[1][0];
    this.totalAfter = selection.total[0];
    this.canScaleByDuration = before.duration > 0 && after.duration > 0;
    this.by = by === "duration" && this.canScaleByDuration ? "duration" : "total";
    // What a value before is multiplied with to be comparable.
    this.scale = this.by === "duration" ? after.duration / before.duration : this.totalBefore > 0 ? this.totalAfter / this.totalBefore : 1;
    // What one sample is worth, before and after; 0 when samples are not counted.
    this.worthBefore = selection.countBefore > 0 ? this.totalBefore / selection.countBefore : 0;
    this.worthAfter = selection.count > 0 ? this.totalAfter / selection.count : 0;
    // Changes are shares of the larger of both, so that they stay below 1.
    this.whole = Math.max(this.totalAfter, this.totalBefore * this.scale);
  }

  // change returns after minus before, as a share of the whole.
  change(before, after) {
    return this.whole === 0 ? 0 : (after - before * this.scale) / this.whole;
  }

  // noise returns two standard deviations of what chance alone makes of the
  // change. A number of samples is Poisson distributed; a share of a fixed
  // number of samples is binomial.
  noise(before, after) {
    const { scale, worthBefore, worthAfter, totalBefore, totalAfter } = this;
    let variance = after * worthAfter + before * worthBefore * scale * scale;
    if (this.by === "total" && totalBefore > 0 && totalAfter > 0) {
      variance = after * worthAfter * (1 - after / totalAfter) + before * worthBefore * scale * scale * (1 - before / totalBefore);
    }
    return this.whole === 0 ? 0 : (2 * Math.sqrt(Math.max(0, variance))) / this.whole;
  }

  // verdict says what happened to something: "same" is a change within noise.
  verdict(before, after) {
    const change = this.change(before, after);
    if (Math.abs(change) <= this.noise(before, after)) return "same";
    if (before === 0) return "new";
    if (after === 0) return "gone";
    return change > 0 ? "grew" : "shrank";
  }

  // strength makes changes of few percent visible: a change by 10 points, or
  // to twice as much of something large, has the full colour.
  strength(before, after) {
    const change = this.change(before, after);
    return Math.sign(change) * Math.min(1, Math.sqrt(Math.abs(change) / 0.1));
  }

  // vanished returns the calls that have samples only before, most first: those
  // whose caller is still there. hidden counts those within noise.
  vanished() {
    const { tree, total, before } = this.selection;
    const list = [];
    let hidden = 0;
    for (let n = 1; n < tree.size; ) {
      if (total[n] > 0 || before[1][n] === 0) {
        n = total[n] > 0 ? n + 1 : tree.end[n];
        continue;
      }
      if (this.verdict(before[1][n], 0) === "gone") list.push(n);
      else hidden++;
      n = tree.end[n];
    }
    list.sort((a, b) => before[1][b] - before[1][a]);
    return { list, hidden };
  }
}
