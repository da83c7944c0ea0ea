// The places of a stop, as rings on the floor: where one can walk to.
import * as three from "three";
import type { Stop } from "../gen/control_pb";
import { biased } from "../people/contact";

const RADIUS_M = 0.42;

// Made once: what is made anew at a stop would have its shaders compiled in the very frame that all wait for.
const flat = (options: three.MeshBasicMaterialParameters): three.MeshBasicMaterial =>
  biased(new three.MeshBasicMaterial({ transparent: true, depthWrite: false, ...options }));
const CALM = flat({ color: 0xffd56a, opacity: 0.85, side: three.DoubleSide });
const HOT = flat({ color: 0xff6a4d, opacity: 0.85, side: three.DoubleSide });
const SPOT = flat({ color: 0xffffff, opacity: 0.8, side: three.DoubleSide });
const DISC = flat({ color: 0x0d1220, opacity: 0.45 });
const GLOW = flat({ vertexColors: true, side: three.DoubleSide });
const RING_SHAPE = new three.RingGeometry(RADIUS_M * 0.8, RADIUS_M, 48).rotateX(-Math.PI / 2);
const DISC_SHAPE = new three.CircleGeometry(RADIUS_M * 0.8, 40).rotateX(-Math.PI / 2);
const LABEL_SHAPE = new three.PlaneGeometry(0.5, 0.5);
const GLOW_SHAPE = glowGeometry();
const labels = new Map<number, three.MeshBasicMaterial>();

interface Ring {
  readonly cell: number;
  readonly at: three.Vector3;
  readonly group: three.Group;
  readonly ring: three.Mesh<three.BufferGeometry, three.MeshBasicMaterial>;
  readonly label: three.Mesh;
}

export class Rings {
  readonly object = new three.Group();
  #rings: Ring[] = [];
  #here = -1;
  #hovered = -1;
  readonly #spot = new three.Mesh(RING_SHAPE, SPOT);

  constructor() {
    this.#spot.renderOrder = 2;
    this.#spot.visible = false;
    this.#spot.scale.setScalar(0.6);
  }

  /** Floor that one would go to, which is no ring. */
  set spot(at: three.Vector3 | null) {
    this.#spot.visible = at !== null;
    if (at) this.#spot.position.copy(at).setY(at.y + 0.02);
  }

  setStop(stop: Stop | null): void {
    this.object.clear();
    this.object.add(this.#spot);
    this.#rings = (stop?.cells ?? []).flatMap((cell, index) => {
      if (!cell.point) return [];
      const at = new three.Vector3(cell.point.x, cell.floorY + 0.02, cell.point.z);
      const disc = new three.Mesh(DISC_SHAPE, DISC);
      const ring = new three.Mesh(RING_SHAPE, CALM);
      const label = new three.Mesh(LABEL_SHAPE, labelMaterial(index + 1));
      const glow = new three.Mesh(GLOW_SHAPE, GLOW);
      disc.renderOrder = 1;
      ring.renderOrder = 2;
      glow.renderOrder = 2;
      label.renderOrder = 3;
      label.position.y = 0.32;
      const group = new three.Group();
      group.position.copy(at);
      group.add(disc, ring, label, glow);
      this.object.add(group);
      return [{ cell: index, at, group, ring, label }];
    });
  }

  /** The ring of the place where one stands is not drawn. */
  set here(cell: number) {
    this.#here = cell;
  }

  set hovered(cell: number) {
    this.#hovered = cell;
  }

  get visible(): readonly { cell: number; at: three.Vector3 }[] {
    return this.#rings.filter((r) => r.cell !== this.#here);
  }

  /** `screen`: how the window's camera is turned; a headset has none, there signs turn to the eye. */
  update(eye: three.Vector3, screen: three.Quaternion | null): void {
    for (const r of this.#rings) {
      r.group.visible = r.cell !== this.#here;
      r.ring.material = r.cell === this.#hovered ? HOT : CALM;
      const { label } = r;
      const distance = r.at.distanceTo(eye);
      label.scale.setScalar(Math.max(0.6, distance * 0.075));
      label.position.y = 0.18 + 0.25 * label.scale.y;
      if (screen) label.quaternion.copy(screen);
      else label.lookAt(eye);
    }
  }

  /** The ring that a ray points at, with some tolerance: hands and mice tremble. */
  pick(origin: three.Vector3, direction: three.Vector3, toleranceAngle = 0.05): number | null {
    let best: { cell: number; angle: number } | null = null;
    for (const { cell, at } of this.visible) {
      const to = at.clone().sub(origin);
      const reach = Math.max(toleranceAngle, Math.atan(RADIUS_M / to.length()) * 0.6);
      const angle = to.angleTo(direction);
      if (angle < reach && (!best || angle < best.angle)) best = { cell, angle };
    }
    return best?.cell ?? null;
  }
}

/** Light that rises from a ring, so that it is seen from afar, where the ring itself is a line. */
function glowGeometry(): three.BufferGeometry {
  const geometry = new three.CylinderGeometry(RADIUS_M * 0.97, RADIUS_M * 0.97, 0.7, 40, 1, true).translate(0, 0.35, 0);
  const positions = geometry.getAttribute("position");
  const colors = new Float32Array(positions.count * 4);
  for (let i = 0; i < positions.count; i++) colors.set([1, 0.72, 0.3, positions.getY(i) < 0.1 ? 0.55 : 0], i * 4);
  geometry.setAttribute("color", new three.BufferAttribute(colors, 4));
  return geometry;
}

function labelMaterial(n: number): three.MeshBasicMaterial {
  const known = labels.get(n);
  if (known) return known;
  const material = flat({ map: numberTexture(n) });
  labels.set(n, material);
  return material;
}

function numberTexture(n: number): three.CanvasTexture {
  const canvas = document.createElement("canvas");
  canvas.width = 96;
  canvas.height = 96;
  const context = canvas.getContext("2d");
  if (context) {
    context.fillStyle = "rgba(13, 18, 32, 0.82)";
    context.beginPath();
    context.arc(48, 48, 42, 0, Math.PI * 2);
    context.fill();
    context.font = "700 52px system-ui, sans-serif";
    context.fillStyle = "#ffe9b3";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(String(n), 48, 52);
  }
  const map = new three.CanvasTexture(canvas);
  map.colorSpace = three.SRGBColorSpace;
  return map;
}
