// The first thing that a visitor sees: Chongqing in fog at nightfall, drawn from a seed, no picture loaded.

const W = 1600;
const H = 900;

export function drawSkyline(into: HTMLElement): void {
  into.innerHTML = `<svg viewBox="0 0 ${W} ${H}" preserveAspectRatio="xMidYMax slice" xmlns="http://www.w3.org/2000/svg">${defs()}${sky()}</svg>`;
}

function defs(): string {
  return "";
}

function sky(): string {
  return "";
}
