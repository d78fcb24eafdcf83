// The rules of speech of ../README.md: a line of text becomes visemes and expressions over time.

const VOWELS = { a: "aa", e: "ee", i: "ih", o: "oh", u: "ou", y: "ih" };
const PAUSES_MS = { " ": 40, "\t": 40, "\n": 40, ",": 220, ";": 220, ":": 220, ".": 380, "!": 380, "?": 380 };
const VOWEL_MS = 90;
const CLOSED_MS = 70; // m b p
const CONSONANT_MS = 60;
const CONSONANT_WEIGHT = 0.4;
const GLIDE_MS = 40; // to either side

export const VISEMES = ["aa", "ih", "ou", "ee", "oh"];

/** One line, said from time 0. */
export class Speech {
  constructor(text) {
    this.spans = []; // where the mouth is open: begin and end in ms, viseme, weight
    this.marks = []; // from when on which expression
    this.lengthMs = 0;
    let lastViseme = null;
    for (let at = 0; at < text.length; at++) {
      const letter = text[at].toLowerCase();
      const close = text[at] === "[" ? text.indexOf("]", at) : -1;
      if (close >= 0) {
        this.marks.push({ beginMs: this.lengthMs, name: text.slice(at + 1, close) });
        at = close;
      } else if (letter in PAUSES_MS) this.lengthMs += PAUSES_MS[letter];
      else if (letter in VOWELS) {
        lastViseme = VOWELS[letter];
        this.open(VOWEL_MS, lastViseme, 1);
      } else if ("mbp".includes(letter)) this.lengthMs += CLOSED_MS;
      else if (/^[A-Za-z]$/.test(text[at])) this.open(CONSONANT_MS, lastViseme, CONSONANT_WEIGHT);
    }
  }

  /** When the mouth is at rest again, ms. */
  get overMs() {
    return this.lengthMs + GLIDE_MS;
  }

  /** `{mouth: {viseme: weight}, expression}` at a time in ms; expression null: left alone, "": fade to none. */
  at(timeMs) {
    const mouth = Object.fromEntries(VISEMES.map((viseme) => [viseme, 0]));
    for (const { beginMs, endMs, viseme, weight } of this.spans) {
      const shared = Math.min(endMs, timeMs + GLIDE_MS) - Math.max(beginMs, timeMs - GLIDE_MS);
      mouth[viseme] += (weight * Math.max(0, shared)) / (2 * GLIDE_MS);
    }
    const said = this.marks.filter(({ beginMs }) => beginMs <= timeMs).at(-1);
    return { mouth, expression: timeMs > this.overMs ? "" : said ? said.name : null };
  }

  open(durationMs, viseme, weight) {
    const beginMs = this.lengthMs;
    this.lengthMs += durationMs;
    if (viseme) this.spans.push({ beginMs, endMs: this.lengthMs, viseme, weight });
  }
}
