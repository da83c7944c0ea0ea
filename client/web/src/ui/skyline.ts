// The first thing that a visitor sees: Chongqing in fog at nightfall. Drawn from a seed; no picture is loaded.

const W = 1600;
const H = 900;

export function drawSkyline(into: HTMLElement): void {
  into.innerHTML = `<svg viewBox="0 0 ${W} ${H}" preserveAspectRatio="xMidYMax slice" xmlns="http://www.w3.org/2000/svg">
${DEFINITIONS}
<rect width="${W}" height="${H}" fill="url(#sky)"/>
<circle cx="640" cy="330" r="560" fill="url(#glow)"/>
<circle cx="640" cy="196" r="44" fill="#ffdf9a" opacity=".85"/>
<path d="${ridge(430, 90, 11, 3)}" fill="#2a3458"/>
<path d="${ridge(500, 80, 23, 5)}" fill="#222b4b"/>
<rect x="-300" y="430" width="2200" height="190" fill="url(#fog)" class="drift slow"/>
${towers(31, 26, 610, 190, 330, "#1c2442", 0.28)}
<rect x="-300" y="520" width="2200" height="150" fill="url(#fog)" class="drift"/>
${cable()}
${towers(77, 20, 700, 110, 260, "#161d36", 0.5)}
${hongya()}
${bridge()}
<rect x="-300" y="640" width="2200" height="130" fill="url(#fog)" opacity=".7" class="drift slow"/>
<rect y="762" width="${W}" height="140" fill="url(#river)"/>
${reflections()}
</svg>`;
}

const DEFINITIONS = `<defs>
<linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#0a0f1f"/><stop offset=".42" stop-color="#232a52"/><stop offset=".62" stop-color="#6d3a4c"/><stop offset=".75" stop-color="#b8573f"/><stop offset="1" stop-color="#2a1c2c"/></linearGradient>
<radialGradient id="glow"><stop offset="0" stop-color="#ffc66e" stop-opacity=".55"/><stop offset=".35" stop-color="#e0703f" stop-opacity=".28"/><stop offset="1" stop-color="#c8372d" stop-opacity="0"/></radialGradient>
<linearGradient id="fog" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#d9b7a4" stop-opacity="0"/><stop offset=".55" stop-color="#d9b7a4" stop-opacity=".34"/><stop offset="1" stop-color="#8a7690" stop-opacity="0"/></linearGradient>
<linearGradient id="river" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#3a2636"/><stop offset=".3" stop-color="#1c1a33"/><stop offset="1" stop-color="#0a0e1c"/></linearGradient>
<linearGradient id="wall" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#f3b44c"/><stop offset="1" stop-color="#8a3d22"/></linearGradient>
</defs>`;

/** A generator of numbers from 0 to 1, always the same for a seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function ridge(base: number, height: number, seed: number, waves: number): string {
  const next = random(seed);
  const parts = Array.from({ length: waves }, () => ({ f: (1 + next() * 4) / W, p: next() * 7, a: 0.3 + next() }));
  const sum = parts.reduce((s, w) => s + w.a, 0);
  let path = `M0 ${H}`;
  for (let x = 0; x <= W; x += 20) {
    const y = parts.reduce((s, w) => s + w.a * Math.sin(x * w.f * Math.PI * 2 + w.p), 0) / sum;
    path += `L${x} ${(base - height * y).toFixed(1)}`;
  }
  return `${path}L${W} ${H}Z`;
}

function towers(
  seed: number,
  count: number,
  foot: number,
  low: number,
  high: number,
  color: string,
  lit: number,
): string {
  const next = random(seed);
  let shapes = "";
  let lights = "";
  for (let i = 0; i < count; i++) {
    const w = 26 + next() * 44;
    const x = (i / count) * W + (next() - 0.5) * 50;
    // The peninsula rises in the middle.
    const hill = 1 - Math.abs(x / W - 0.56) * 1.1;
    const h = (low + (high - low) * next() * hill) * (0.75 + 0.35 * hill);
    const top = foot - h;
    const kind = next();
    shapes += `M${x.toFixed(0)} ${foot + 120}V${top.toFixed(0)}`;
    if (kind < 0.25) shapes += `l${(w / 2).toFixed(0)} ${-w * 0.6}l${(w / 2).toFixed(0)} ${w * 0.6}`;
    else if (kind < 0.4) shapes += `q${(w / 2).toFixed(0)} ${-w * 0.5} ${w.toFixed(0)} 0`;
    else if (kind < 0.55) shapes += `h${(w / 2).toFixed(0)}v${-w * 0.9}h2v${w * 0.9}h${(w / 2 - 2).toFixed(0)}`;
    else shapes += `h${w.toFixed(0)}`;
    shapes += `V${foot + 120}Z`;
    for (let y = top + 14; y < foot; y += 11) {
      for (let c = x + 5; c < x + w - 6; c += 8) {
        if (next() < lit * 0.42) lights += `M${c.toFixed(0)} ${y.toFixed(0)}h3.4v4h-3.4z`;
      }
    }
  }
  return `<path d="${shapes}" fill="${color}"/><path d="${lights}" fill="#ffcf7d" opacity="${0.35 + lit * 0.6}"/>`;
}

/** Houses on stilts against the cliff, storey over storey, lit gold, roofs turned up at the corners. */
function hongya(): string {
  let out = "";
  const tiers: [number, number, number][] = [
    [150, 752, 330],
    [175, 700, 285],
    [205, 650, 235],
    [232, 604, 180],
    [262, 562, 118],
  ];
  for (const [x, y, w] of tiers) {
    let posts = "";
    for (let p = x + 12; p < x + w - 6; p += 21) posts += `M${p} ${y}v-36`;
    let windows = "";
    for (let p = x + 16; p < x + w - 14; p += 21) windows += `M${p} ${y - 29}h13v19h-13z`;
    out += `<path d="M${x} ${y}h${w}v-38h${-w}z" fill="url(#wall)"/><path d="${windows}" fill="#ffe9b0"/><path d="${posts}" stroke="#5a2418" stroke-width="3"/>`;
    out += `<path d="M${x - 20} ${y - 34}q16 -3 26 -17h${w - 12}q10 14 26 17q-20 -1 -34 -6h${-(w - 28)}q-14 5 -24 6z" fill="#7d1f1a"/>`;
    out += `<path d="M${x - 20} ${y - 34}q16 -3 26 -17h${w - 12}q10 14 26 17" fill="none" stroke="#ffcf7d" stroke-width="1.6" opacity=".9"/>`;
  }
  return out;
}

function bridge(): string {
  let cables = "";
  for (const tower of [1010, 1370]) {
    for (let i = 1; i <= 9; i++) cables += `M${tower} 556L${tower - i * 21} 742M${tower} 556L${tower + i * 21} 742`;
  }
  return `<path d="${cables}" stroke="#ffb46a" stroke-width="1.1" opacity=".55"/>
<path d="M1004 762V548h12v214zM1364 762V548h12v214z" fill="#b5382c"/>
<path d="M700 742H${W}v9H700z" fill="#8f2b25"/><path d="M700 742H${W}" stroke="#ffd98f" stroke-width="2" stroke-dasharray="2 13"/>`;
}

function cable(): string {
  return `<path d="M380 470Q820 560 1260 430" fill="none" stroke="#0d1220" stroke-width="2" opacity=".8"/>
<g class="cabin"><path d="M-1 -17h2v9h-2z" fill="#0d1220"/><rect x="-15" y="-8" width="30" height="19" rx="4" fill="#c8372d"/><path d="M-11 -4h8v7h-8zM3 -4h8v7h-8z" fill="#ffe2a6"/></g>`;
}

function reflections(): string {
  const next = random(5);
  let path = "";
  for (let i = 0; i < 110; i++) {
    const x = next() < 0.4 ? 150 + next() * 340 : next() * W;
    const y = 772 + next() ** 1.6 * 110;
    path += `M${x.toFixed(0)} ${y.toFixed(0)}h${(6 + next() * 40).toFixed(0)}`;
  }
  return `<path d="${path}" stroke="#ffbf6b" stroke-width="2" opacity=".32"/>`;
}
