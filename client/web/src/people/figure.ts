// One person as the others see them: head with a visor, a soft body, hands, a name; the guide carries a flag.
import * as three from "three";
import { mergeGeometries } from "three/addons/utils/BufferGeometryUtils.js";
import { biased, softened } from "./contact";
import type { Held } from "./jitter";

/** Height of the letters of a name, as an angle: 1° can be read in a headset. */
const LETTER_ANGLE = three.MathUtils.degToRad(1.15);
/** Someone this close to the eye would fill it. */
const TOO_CLOSE_M = 0.45;
const GUIDE_COLOR = new three.Color(0xe7b94c);
const FLAG_COLOR = new three.Color(0xd2382b);

export interface Appearance {
  readonly name: string;
  readonly guide: boolean;
  readonly note: string;
}

export class Figure {
  readonly object = new three.Group();
  readonly #head = new three.Group();
  readonly #body: three.Mesh;
  readonly #hands: readonly [three.Mesh, three.Mesh];
  readonly #label: three.Mesh<three.PlaneGeometry, three.MeshBasicMaterial>;
  readonly #pointer: Pointer;
  readonly #materials: three.Material[] = [];
  #labelAspect = 1;
  #labelLetters = 1;
  readonly guide: boolean;

  constructor(headset: number, appearance: Appearance) {
    this.guide = appearance.guide;
    const color = appearance.guide ? GUIDE_COLOR : colorOf(headset);
    const skin = this.#material(color);
    this.#body = new three.Mesh(bodyGeometry(), skin);
    this.#head.add(new three.Mesh(headGeometry(), this.#material(new three.Color(1, 1, 1), true)));
    (this.#head.children[0] as three.Mesh).geometry = tint(headGeometry(), color);
    if (appearance.guide) this.#head.add(this.#flag());
    const hand = (mirror: number): three.Mesh => new three.Mesh(handGeometry(mirror), skin);
    this.#hands = [hand(-1), hand(1)];
    this.#label = this.#makeLabel(appearance, color);
    this.#pointer = new Pointer(color, appearance.guide);
    this.object.add(this.#head, this.#body, ...this.#hands, this.#label, this.#pointer.object);
  }

  /** `origin`: the stop's pose origin. Stop-local metres. `screen`: see `Rings.update`. */
  hold(held: Held, origin: three.Vector3, eye: three.Vector3, screen: three.Quaternion | null): void {
    const place = (object: three.Object3D, joint: Held["head"] | null): boolean => {
      object.visible = joint !== null;
      if (!joint) return false;
      object.position.set(...joint.position).add(origin);
      object.quaternion.set(...joint.rotation);
      return true;
    };
    place(this.#head, held.head);
    const [left, right] = this.#hands;
    place(left, held.left);
    place(right, held.right);
    const heading = new three.Euler().setFromQuaternion(this.#head.quaternion, "YXZ").y;
    this.#body.position.copy(this.#head.position);
    this.#body.rotation.set(0, heading, 0);
    const distance = this.#head.position.distanceTo(eye);
    const close = distance < TOO_CLOSE_M;
    this.#head.visible = !close;
    this.#body.visible = !close;
    this.#label.visible = !close;
    this.#placeLabel(eye, distance, screen);
    const hand = held.right ? right : held.left ? left : null;
    const from = hand
      ? hand.position
      : this.#head.position.clone().add(new three.Vector3(0.18, -0.35, 0).applyAxisAngle(UP, heading));
    this.#pointer.aim(held.pointer ? new three.Vector3(...held.pointer).add(origin) : null, from, eye);
  }

  get headPosition(): three.Vector3 {
    return this.#head.position;
  }

  dispose(): void {
    this.object.removeFromParent();
    this.object.traverse((o) => {
      if (o instanceof three.Mesh) o.geometry.dispose();
    });
    for (const m of this.#materials) {
      if (m instanceof three.MeshBasicMaterial) m.map?.dispose();
      m.dispose();
    }
    this.#pointer.dispose();
  }

  #material(color: three.Color, vertexColors = false): three.MeshLambertMaterial {
    const material = softened(new three.MeshLambertMaterial({ color, vertexColors }));
    this.#materials.push(material);
    return material;
  }

  #flag(): three.Object3D {
    const pole = new three.CylinderGeometry(0.009, 0.009, 0.34, 8).translate(0, 0.28, 0.02);
    const cloth = new three.BufferGeometry();
    cloth.setAttribute(
      "position",
      new three.Float32BufferAttribute([0, 0.45, 0.02, 0, 0.31, 0.02, 0.21, 0.38, 0.02], 3),
    );
    cloth.setAttribute("normal", new three.Float32BufferAttribute([0, 0, 1, 0, 0, 1, 0, 0, 1], 3));
    const group = new three.Group();
    group.add(new three.Mesh(pole, this.#material(new three.Color(0xf4e9d0))));
    const material = this.#material(FLAG_COLOR);
    material.side = three.DoubleSide;
    material.emissive = FLAG_COLOR.clone().multiplyScalar(0.35);
    group.add(new three.Mesh(cloth, material));
    return group;
  }

  #makeLabel(appearance: Appearance, color: three.Color): three.Mesh<three.PlaneGeometry, three.MeshBasicMaterial> {
    const { canvas, letters } = drawLabel(appearance, color);
    const map = new three.CanvasTexture(canvas);
    map.colorSpace = three.SRGBColorSpace;
    const material = new three.MeshBasicMaterial({ map, transparent: true, depthWrite: false });
    biased(material);
    this.#materials.push(material);
    this.#labelAspect = canvas.width / canvas.height;
    this.#labelLetters = letters;
    const label = new three.Mesh(new three.PlaneGeometry(1, 1), material);
    label.renderOrder = 5;
    return label;
  }

  #placeLabel(eye: three.Vector3, distance: number, screen: three.Quaternion | null): void {
    const letter = Math.max(0.028, distance * Math.tan(LETTER_ANGLE));
    const height = letter / this.#labelLetters;
    this.#label.scale.set(height * this.#labelAspect, height, 1);
    this.#label.position.copy(this.#head.position);
    this.#label.position.y += (this.guide ? 0.5 : 0.2) + height / 2;
    if (screen) this.#label.quaternion.copy(screen);
    else this.#label.lookAt(eye);
  }
}

const UP = new three.Vector3(0, 1, 0);

/** The beam from a hand and the mark at the shared point. */
class Pointer {
  readonly object = new three.Group();
  readonly #beam: three.Mesh<three.CylinderGeometry, three.MeshBasicMaterial>;
  readonly #mark: three.Mesh<three.RingGeometry, three.MeshBasicMaterial>;
  readonly #dot: three.Mesh<three.CircleGeometry, three.MeshBasicMaterial>;

  constructor(color: three.Color, guide: boolean) {
    const basic = (opacity: number): three.MeshBasicMaterial =>
      biased(
        new three.MeshBasicMaterial({
          color: guide ? 0xffd56a : color,
          transparent: true,
          opacity,
          depthWrite: false,
          side: three.DoubleSide,
        }),
      );
    this.#beam = new three.Mesh(new three.CylinderGeometry(0.5, 0.5, 1, 6, 1, true).translate(0, 0.5, 0), basic(0.45));
    this.#mark = new three.Mesh(new three.RingGeometry(0.7, 1, 40), basic(0.95));
    this.#dot = new three.Mesh(new three.CircleGeometry(0.28, 24), basic(0.95));
    // A mark is seen whatever is in between: it shows where, not what is in front.
    for (const m of [this.#mark, this.#dot]) m.material.depthTest = false;
    for (const m of [this.#beam, this.#mark, this.#dot]) m.renderOrder = 6;
    this.object.add(this.#beam, this.#mark, this.#dot);
    this.object.visible = false;
  }

  aim(at: three.Vector3 | null, from: three.Vector3, eye: three.Vector3): void {
    this.object.visible = at !== null;
    if (!at) return;
    const along = at.clone().sub(from);
    const length = along.length();
    const thickness = 0.008 + 0.0006 * length;
    this.#beam.position.copy(from);
    this.#beam.quaternion.setFromUnitVectors(UP, along.normalize());
    this.#beam.scale.set(thickness, length, thickness);
    const size = at.distanceTo(eye) * 0.016;
    for (const m of [this.#mark, this.#dot]) {
      m.position.copy(at);
      m.scale.setScalar(size);
      m.lookAt(eye);
    }
  }

  dispose(): void {
    for (const m of [this.#beam, this.#mark, this.#dot]) {
      m.geometry.dispose();
      m.material.dispose();
    }
  }
}

/** Colours that stay apart, also from the guide's gold. */
export function colorOf(headset: number): three.Color {
  const hue = (0.52 + headset * 0.381_966) % 1;
  const away = hue > 0.08 && hue < 0.18 ? hue + 0.12 : hue;
  return new three.Color().setHSL(away, 0.5, 0.56);
}

function tint(geometry: three.BufferGeometry, color: three.Color): three.BufferGeometry {
  const colors = geometry.getAttribute("color");
  for (let i = 0; i < colors.count; i++) {
    if (colors.getX(i) > 1.5) colors.setXYZ(i, color.r, color.g, color.b);
  }
  return geometry;
}

/** Coloured 2, 2, 2 where the person's colour goes. */
function headGeometry(): three.BufferGeometry {
  const skull = paint(new three.SphereGeometry(0.115, 32, 24).scale(0.92, 1.08, 1), 2, 2, 2);
  const visor = paint(
    new three.SphereGeometry(0.1, 28, 20, 0, Math.PI * 2, Math.PI * 0.3, Math.PI * 0.36)
      .scale(0.96, 0.72, 0.6)
      .translate(0, 0.022, -0.068),
    0.05,
    0.06,
    0.09,
  );
  const glint = paint(
    new three.SphereGeometry(0.014, 12, 8).scale(1.5, 0.7, 0.5).translate(0.035, 0.045, -0.124),
    0.8,
    0.9,
    1,
  );
  const smile = paint(
    new three.TorusGeometry(0.028, 0.0042, 8, 20, Math.PI * 0.7)
      .rotateZ(Math.PI + Math.PI * 0.15)
      .translate(0, -0.046, -0.106),
    0.12,
    0.08,
    0.08,
  );
  return merge([skull, visor, glint, smile]);
}

function bodyGeometry(): three.BufferGeometry {
  const profile = [
    [0, -0.1],
    [0.055, -0.115],
    [0.115, -0.155],
    [0.15, -0.23],
    [0.165, -0.36],
    [0.186, -0.55],
    [0.208, -0.74],
    [0.205, -0.79],
    [0.17, -0.825],
    [0, -0.84],
  ].map(([x = 0, y = 0]) => new three.Vector2(x, y));
  return new three.LatheGeometry(profile.reverse(), 28).scale(1, 1, 0.72);
}

/** −1 left, 1 right: a mitten that points along −Z. */
export function handGeometry(mirror: number): three.BufferGeometry {
  const palm = new three.SphereGeometry(0.042, 20, 14).scale(0.85, 0.5, 1.1);
  const finger = new three.CapsuleGeometry(0.02, 0.05, 6, 14)
    .scale(1.45, 1, 0.7)
    .rotateX(Math.PI / 2)
    .translate(0, 0.002, -0.06);
  const thumb = new three.CapsuleGeometry(0.012, 0.026, 4, 10)
    .rotateX(Math.PI / 2)
    .rotateY(mirror * 0.5)
    .translate(mirror * -0.038, 0.006, -0.018);
  return merge([palm, finger, thumb]);
}

function merge(parts: three.BufferGeometry[]): three.BufferGeometry {
  const plain = parts.map((p) => {
    const g = p.index ? p.toNonIndexed() : p;
    g.deleteAttribute("uv");
    return g;
  });
  const merged = mergeGeometries(plain);
  if (!merged) throw new Error("the parts of a figure do not fit together");
  return merged;
}

function paint(geometry: three.BufferGeometry, r: number, g: number, b: number): three.BufferGeometry {
  const count = geometry.getAttribute("position").count;
  const colors = new Float32Array(count * 3);
  for (let i = 0; i < count; i++) colors.set([r, g, b], i * 3);
  geometry.setAttribute("color", new three.BufferAttribute(colors, 3));
  return geometry;
}

/** Draws the name; `letters` is the part of the height that the letters take. */
function drawLabel(
  { name, guide, note }: Appearance,
  color: three.Color,
): { canvas: HTMLCanvasElement; letters: number } {
  const font = 44;
  const height = 76;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas for a name");
  const face = `600 ${font}px "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", system-ui, sans-serif`;
  const small = `400 ${font * 0.62}px "Noto Sans CJK SC", "PingFang SC", system-ui, sans-serif`;
  context.font = face;
  const nameWidth = context.measureText(name).width;
  context.font = small;
  const noteWidth = note ? context.measureText(note).width + 16 : 0;
  const mark = 34;
  canvas.width = Math.ceil(nameWidth + noteWidth + mark + 52);
  canvas.height = height;
  context.fillStyle = "rgba(13, 18, 32, 0.82)";
  context.beginPath();
  context.roundRect(0, 0, canvas.width, height, height / 2);
  context.fill();
  context.fillStyle = guide ? "#ffd56a" : `#${color.getHexString()}`;
  context.beginPath();
  // Shape beside colour: the guide's mark is a flag, the others' a disc.
  if (guide) {
    context.moveTo(26, 20);
    context.lineTo(52, 38);
    context.lineTo(26, 56);
  } else context.arc(38, height / 2, 11, 0, Math.PI * 2);
  context.fill();
  context.textBaseline = "middle";
  context.font = face;
  context.fillStyle = guide ? "#ffe9b3" : "#ffffff";
  context.fillText(name, 26 + mark, height / 2 + 3);
  if (note) {
    context.font = small;
    context.fillStyle = "#c9d2e6";
    context.fillText(note, 26 + mark + nameWidth + 16, height / 2 + 3);
  }
  return { canvas, letters: (font * 0.72) / height };
}
