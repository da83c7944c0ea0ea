// Session codes: eight symbols that are easy to say and type.

/** Twenty consonants: no vowels, so no words; none looks like a digit. */
export const ALPHABET = "BCDFGHJKLMNPQRSTVWXZ";
const LENGTH = 8;

/** The code as shown, `BCDF-GHJK`; `null` when the text is not one. Case, spaces and hyphens do not matter. */
export function parseCode(text: string): string | null {
  const symbols = [...text.replace(/[\s-]/gu, "").toUpperCase()];
  if (symbols.length !== LENGTH || symbols.some((s) => !ALPHABET.includes(s))) return null;
  return `${symbols.slice(0, 4).join("")}-${symbols.slice(4).join("")}`;
}

/** What a field shows while a code is being typed: unknown symbols dropped, grouped by four. */
export function tidyCode(text: string): string {
  const symbols = [...text.normalize("NFKC").toUpperCase()].filter((s) => ALPHABET.includes(s)).slice(0, LENGTH);
  return symbols.length > 4 ? `${symbols.slice(0, 4).join("")}-${symbols.slice(4).join("")}` : symbols.join("");
}
