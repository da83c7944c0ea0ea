// The depth of one layer: keyframes, the tiles that changed since, and the meshes made from both.
import { buildFaceMesh, type FaceMesh } from "../layer/mesh";
import { type DepthCube, readDepth } from "../wire/depth";
import type { Frame } from "../wire/frame";
import type { DepthUpdate } from "./messages";

const MAX_KEYFRAMES = 3;
const MAX_DEPTHS = 12;
const MAX_ORPHANS = 64;

interface Depth {
  readonly near: number;
  readonly halfTangent: number;
  readonly key: number;
  readonly cube: DepthCube;
  readonly touched: readonly boolean[];
}

export class DepthLane {
  #keyframes = new Map<number, DepthCube>();
  #keyMeshes = new Map<string, FaceMesh>();
  #depths = new Map<number, Depth>();
  #orphans: Frame[] = [];
  #handedOver: { set: number; key: number; touched: readonly boolean[] } | null = null;
  readonly #hasHoles: boolean;

  /** `hasHoles`: a sample of 65535 says that the layer has nothing there. */
  constructor(hasHoles = false) {
    this.#hasHoles = hasHoles;
  }

  /** Takes a frame; throws a `WireError` where it is damaged. */
  push(frame: Frame): void {
    const { header } = frame;
    if (header.keyframe) {
      const { cube } = readDepth(frame.payload, null);
      this.#keyframes.set(header.tag.set, cube);
      this.#keep(header.tag.set, {
        near: header.tag.near,
        halfTangent: header.tag.halfTangent,
        key: header.tag.set,
        cube,
        touched: Array.from({ length: cube.faces }, () => false),
      });
      this.#forgetOld();
      const orphans = this.#orphans.filter((f) => f.header.dependsOn === header.tag.set);
      this.#orphans = this.#orphans.filter((f) => f.header.dependsOn !== header.tag.set);
      for (const orphan of orphans) this.push(orphan);
      return;
    }
    const key = this.#keyframes.get(header.dependsOn);
    if (!key) {
      this.#orphans.push(frame);
      if (this.#orphans.length > MAX_ORPHANS) this.#orphans.shift();
      return;
    }
    const { cube, facesTouched } = readDepth(frame.payload, key);
    const { near, halfTangent } = header.tag;
    this.#keep(header.tag.set, { near, halfTangent, key: header.dependsOn, cube, touched: facesTouched });
  }

  has(set: number): boolean {
    return this.#depths.has(set);
  }

  /** What the page lacks to show this depth; remembers that it has it then. */
  handOver(set: number): DepthUpdate {
    const depth = this.#depths.get(set);
    if (!depth) throw new Error(`the depth of set ${set} is not there`);
    const before = this.#handedOver;
    this.#handedOver = { set, key: depth.key, touched: depth.touched };
    const { size } = depth.cube;
    if (before?.set === set) return { set, size, faces: [] };
    const faces = [];
    for (let face = 0; face < depth.cube.faces; face++) {
      if (before?.key === depth.key && !before.touched[face] && !depth.touched[face]) continue;
      const samples = depth.cube.samples.slice(face * size * size, (face + 1) * size * size);
      faces.push({ face, samples, mesh: this.#mesh(depth, face, samples) });
    }
    return { set, size, faces };
  }

  #mesh(depth: Depth, face: number, samples: Uint16Array): FaceMesh {
    const build = (): FaceMesh =>
      buildFaceMesh(samples, depth.cube.size, depth.near, {
        halfTangent: depth.halfTangent,
        hasHoles: this.#hasHoles,
      });
    if (depth.touched[face]) return build();
    const name = `${depth.key}/${face}`;
    const known = this.#keyMeshes.get(name);
    if (known) return known;
    const mesh = build();
    this.#keyMeshes.set(name, mesh);
    return mesh;
  }

  #keep(set: number, depth: Depth): void {
    this.#depths.set(set, depth);
    // A keyframe stays as long as frames may refer to it.
    for (const old of this.#depths.keys()) {
      if (this.#depths.size <= MAX_DEPTHS) break;
      if (!this.#keyframes.has(old)) this.#depths.delete(old);
    }
  }

  #forgetOld(): void {
    for (const old of this.#keyframes.keys()) {
      if (this.#keyframes.size <= MAX_KEYFRAMES) break;
      this.#keyframes.delete(old);
      this.#depths.delete(old);
      for (const name of this.#keyMeshes.keys()) if (name.startsWith(`${old}/`)) this.#keyMeshes.delete(name);
    }
  }
}
