// Where a foveated eye spends its pixels: tangents and places in the picture, one axis at a time.

/** The strongest `k` that is accepted. */
export const MAX_FOVEATION = 8;

/** Below this the formula divides rounding errors by rounding errors; the even grid differs by less than 2e-7. */
const EVEN = 1e-3;

/** The tangent at a place −1 … 1 of a picture that spans `halfTangent` each way; `k` 0 is a plain camera. */
export function tangentAt(place: number, halfTangent: number, k: number): number {
  return halfTangent * (k >= EVEN ? Math.sinh(k * place) / Math.sinh(k) : place);
}

/** The place −1 … 1 of a tangent. */
export function placeOf(tangent: number, halfTangent: number, k: number): number {
  const t = tangent / halfTangent;
  return k >= EVEN ? Math.asinh(t * Math.sinh(k)) / k : t;
}
