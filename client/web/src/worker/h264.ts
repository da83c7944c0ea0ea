// What WebCodecs wants to know of an H.264 byte stream.

const SPS = 7;

/** `avc1.PPCCLL` from the first sequence parameter set of an Annex B access unit; `null` where it has none. */
export function codecString(annexB: Uint8Array): string | null {
  for (let i = 0; i + 6 < annexB.length; i++) {
    if (annexB[i] !== 0 || annexB[i + 1] !== 0 || annexB[i + 2] !== 1) continue;
    if (((annexB[i + 3] ?? 0) & 31) !== SPS) continue;
    const hex = (at: number): string => (annexB[at] ?? 0).toString(16).padStart(2, "0");
    return `avc1.${hex(i + 4)}${hex(i + 5)}${hex(i + 6)}`;
  }
  return null;
}
