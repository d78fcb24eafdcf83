// The last values of a measurement. Knows nothing of what is measured.

/** The last few hundred values, for percentiles. */
export class Recent {
  constructor(kept = 240) {
    this.kept = kept;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.kept) this.values.shift();
  }

  /** null before the first value. */
  percentile(percent) {
    if (!this.values.length) return null;
    const sorted = this.values.slice().sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor((percent / 100) * sorted.length))];
  }
}
