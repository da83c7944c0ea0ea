// The arc from a hand to the place where its wearer would go.
import * as three from "three";

const POINTS = 24;

export class Arc {
  readonly object: three.Mesh<three.BufferGeometry, three.MeshBasicMaterial>;
  readonly #positions = new Float32Array(POINTS * 2 * 3);

  constructor() {
    const geometry = new three.BufferGeometry();
    geometry.setAttribute("position", new three.BufferAttribute(this.#positions, 3));
    const index: number[] = [];
    for (let i = 0; i < POINTS - 1; i++) index.push(2 * i, 2 * i + 1, 2 * i + 2, 2 * i + 2, 2 * i + 1, 2 * i + 3);
    geometry.setIndex(index);
    const material = new three.MeshBasicMaterial({
      color: 0xffd56a,
      transparent: true,
      opacity: 0.9,
      side: three.DoubleSide,
      depthTest: false,
      depthWrite: false,
    });
    this.object = new three.Mesh(geometry, material);
    this.object.frustumCulled = false;
    this.object.renderOrder = 15;
    this.object.visible = false;
  }

  hide(): void {
    this.object.visible = false;
  }

  /** From a hand to a place, or some way ahead where there is none. */
  show(from: three.Vector3, direction: three.Vector3, to: three.Vector3 | null, eye: three.Vector3): void {
    const end =
      to ??
      from
        .clone()
        .addScaledVector(direction, 3)
        .setY(from.y - 1.2);
    const middle = from.clone().lerp(end, 0.5);
    middle.y = Math.max(from.y, end.y) + 0.18 * from.distanceTo(end);
    const curve = new three.QuadraticBezierCurve3(from, middle, end);
    const side = new three.Vector3();
    for (let i = 0; i < POINTS; i++) {
      const p = curve.getPoint(i / (POINTS - 1));
      const along = curve.getTangent(i / (POINTS - 1));
      // A ribbon that faces the eye, about 0.3° wide.
      side.subVectors(eye, p);
      const halfWidth = 0.003 + side.length() * 0.0025;
      side.cross(along).normalize().multiplyScalar(halfWidth);
      this.#positions.set([p.x - side.x, p.y - side.y, p.z - side.z, p.x + side.x, p.y + side.y, p.z + side.z], i * 6);
    }
    this.object.geometry.getAttribute("position").needsUpdate = true;
    this.object.material.color.set(to ? 0xffd56a : 0x9aa3bd);
    this.object.visible = true;
  }
}
