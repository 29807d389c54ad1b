/** What differs between two texts, word by word, so that a change is seen at once. Pure. */

export interface Piece {
  text: string;
  kind: "same" | "gone" | "new";
}

/** Beyond this many words the texts are shown whole, since comparing takes their product. */
const MOST_WORDS = 400;

/** Pieces of both texts in reading order; what went stands before what came in its place. */
export function wordDiff(before: string, after: string): Piece[] {
  if (before === after) return before ? [{ text: before, kind: "same" }] : [];
  const [a, b] = [wordsIn(before), wordsIn(after)];
  if (a.length > MOST_WORDS || b.length > MOST_WORDS) return merged([gone(before), come(after)]);
  const common = lengthsOfCommon(a, b);
  const pieces: Piece[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && a[i] === b[j]) {
      pieces.push({ text: a[i] ?? "", kind: "same" });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && at(common, i + 1, j) >= at(common, i, j + 1))) {
      pieces.push(gone(a[i++] ?? ""));
    } else pieces.push(come(b[j++] ?? ""));
  }
  return merged(pieces);
}

const gone = (text: string): Piece => ({ text, kind: "gone" });
const come = (text: string): Piece => ({ text, kind: "new" });

/** Words and the white space between them, as pieces that join to the text again. */
function wordsIn(text: string): string[] {
  return text.split(/(\s+)/).filter(Boolean);
}

/** Length of the longest common subsequence of a from i and b from j, for every i and j. */
function lengthsOfCommon(a: readonly string[], b: readonly string[]): number[][] {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = table[i];
      if (!row) continue;
      row[j] =
        a[i] === b[j] ? at(table, i + 1, j + 1) + 1 : Math.max(at(table, i + 1, j), at(table, i, j + 1));
    }
  }
  return table;
}

function at(table: readonly number[][], i: number, j: number): number {
  return table[i]?.[j] ?? 0;
}

function merged(pieces: readonly Piece[]): Piece[] {
  const found: Piece[] = [];
  for (const piece of pieces) {
    const last = found.at(-1);
    if (last?.kind === piece.kind) last.text += piece.text;
    else if (piece.text) found.push({ ...piece });
  }
  return found;
}
