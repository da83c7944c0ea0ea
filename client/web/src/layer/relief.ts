// A picture with depth as the headset draws it: the faces of one layer's newest complete set, warped to the eye.
import * as three from "three";
import { ATLAS_COLUMNS, FACES, type Vec3 } from "../wire/cube";
import type { Shape, Tag } from "../wire/frame";
import type { DecodedSet, DepthUpdate, Picture } from "../worker/messages";
import { EDGE_NUMBERS, type FaceMesh, uncovered, VERTEX_NUMBERS } from "./mesh";
import { closePicture, Textures } from "./pictures";
import { BACKDROP_VERTEX, EDGE_VERTEX, FRAGMENT, GRID_VERTEX } from "./shader";

const PARTS = ["surface", "sheet", "edges"] as const;
type Part = (typeof PARTS)[number];

/** Extra angle within which a face is drawn: near things move by more than the eye's offset suggests. */
const CULL_SLACK = 0.35;

/**
 * Over what is there already, still among what is opaque: people and rings come after it. Where surface and sheet are
 * one, only the first of them passes.
 */
const BLENDED = {
  blending: three.CustomBlending,
  blendSrc: three.SrcAlphaFactor,
  blendDst: three.OneMinusSrcAlphaFactor,
  blendSrcAlpha: three.ZeroFactor,
  blendDstAlpha: three.OneFactor,
  depthFunc: three.LessDepth,
} as const;
/** Shows where nothing else of the layer is: whatever crack is left has the picture's colour of its direction. */
const BEHIND_ALL = { depthFunc: three.LessEqualDepth, depthWrite: false } as const;
/** A hair behind what it stands for. */
const OUTLINE = {
  colorWrite: false,
  polygonOffset: true,
  polygonOffsetFactor: 0,
  polygonOffsetUnits: 2,
  defines: { DEPTH_ONLY: 1 },
} as const;
/** Nearest first, so that what is hidden is not shaded. */
const ORDER = { edges: -13, surface: -12, sheet: -11, backdrop: -10 };
const BEHIND_ORDER = { edges: -10.8, surface: -10.7, sheet: -10.6, backdrop: -10 };

type PartMesh = three.Mesh<three.BufferGeometry, three.ShaderMaterial>;
type Uniform = { value: unknown };
type Uniforms = Record<string, Uniform>;
type Materials = readonly [three.ShaderMaterial, three.ShaderMaterial];

interface FaceObjects {
  readonly axis: three.Vector3;
  readonly own: Uniforms;
  readonly meshes: Record<Part, PartMesh>;
  /** The same shapes, drawn before a cross-fade blends them: into the depth buffer alone. */
  readonly outlines: Record<Part, PartMesh>;
  /** As it is, and during a cross-fade. */
  readonly materials: Record<Part, Materials>;
  readonly backdrop: PartMesh | null;
  readonly backdropMaterials: Materials | null;
  /** All triangles of the sheet, and what another layer shows better. */
  sheet: Uint16Array<ArrayBuffer>;
}

export class Relief {
  readonly object = new three.Group();
  readonly shape: Shape;
  #tag: Tag | null = null;
  #opacity = 1;
  readonly #faces: FaceObjects[];
  readonly #shared: Uniforms;
  /** Two take turns, so that the one on show is never half new. */
  #front: Textures;
  #back: Textures;
  #depth: three.DataArrayTexture | null = null;
  #samples: (Uint16Array | null)[];
  /** Per face, where this layer has something; of a layer with holes. */
  readonly present: (Uint8Array | null)[];
  /** The layer that shows better what the sheet guesses. */
  #better: readonly (Uint8Array | null)[] = [];
  /** Faces whose depth has arrived but is not shown yet. */
  #newFaces = new Map<number, DepthUpdate["faces"][number]>();
  #newDepthSize = 0;
  #next: { tag: Tag; picture: Picture } | null = null;

  /** `behind`: it lies behind another layer from the same point, which has the backdrop. */
  constructor(renderer: three.WebGLRenderer, shape: Shape, behind: boolean) {
    this.shape = shape;
    const count = shape === "stereo" ? 2 : FACES.length;
    this.#samples = Array.from({ length: count }, () => null);
    this.present = Array.from({ length: count }, () => null);
    this.#front = new Textures(renderer);
    this.#back = new Textures(renderer);
    this.#shared = {
      depthScale: { value: 1 },
      halfTangent: { value: 1 },
      depthSize: { value: 512 },
      faceSize: { value: 512 },
      atlas: { value: shape === "stereo" ? new three.Vector2(2, 1) : new three.Vector2(3, 2) },
      foveation: { value: 0 },
      depth: { value: null },
      luma: { value: null },
      chroma: { value: null },
      format: { value: 0 },
      opacity: { value: 1 },
      brightness: { value: 1 },
    };
    this.#faces = Array.from({ length: count }, (_, i) => newFace(i, shape, behind, this.#shared));
    for (const { meshes, outlines, backdrop } of this.#faces) {
      for (const part of PARTS) this.object.add(meshes[part], outlines[part]);
      if (backdrop) this.object.add(backdrop);
    }
  }

  /** The set on show. */
  get tag(): Tag | null {
    return this.#tag;
  }

  get faceCount(): number {
    return this.#faces.length;
  }

  /** Takes a complete set; the newest wins, depth of those in between is kept. */
  push(set: DecodedSet): void {
    for (const face of set.depth?.faces ?? []) this.#newFaces.set(face.face, face);
    if (set.depth) this.#newDepthSize = set.depth.size;
    closePicture(this.#next?.picture);
    this.#next = { tag: set.tag, picture: set.picture };
  }

  get waits(): boolean {
    return this.#next !== null;
  }

  /** Cuts the newest set into steps; the last one puts it on show, with what else changes in that moment. */
  plan(alsoShown: () => void): (() => void)[] {
    const next = this.#next;
    if (!next) return [];
    this.#next = null;
    const { picture, tag } = next;
    const newFaces = [...this.#newFaces.values()];
    this.#newFaces.clear();
    const depthSize = this.#newDepthSize;
    const steps = this.#back.uploads(picture);
    const show = (): void => {
      this.#show(tag);
      alsoShown();
    };
    // What is not on show yet may take one face at a time; what is changes in one go.
    if (this.#tag) {
      steps.push(() => {
        for (const f of newFaces) this.#replaceFace(f, depthSize);
        show();
      });
    } else {
      for (const f of newFaces) steps.push(() => this.#replaceFace(f, depthSize));
      steps.push(show);
    }
    return steps;
  }

  /** Leaves out of the sheet what another layer from the same point shows; `[]` where there is none. */
  yieldTo(present: readonly (Uint8Array | null)[]): void {
    this.#better = present;
    this.#faces.forEach((_, face) => {
      this.#indexSheet(face);
    });
  }

  /** A sharper picture of a face, blended in by `part`; 0: none. */
  sharpen(
    face: number,
    part: number,
    from: { textures: Textures; halfTangent: number; fades: readonly [number, number, number, number] } | null,
  ): void {
    const own = this.#faces[face]?.own;
    if (!own || !this.#tag) return;
    set(own, "sharp", part);
    if (!from) return;
    set(own, "sharpLuma", from.textures.luma);
    set(own, "sharpChroma", from.textures.chroma);
    set(own, "sharpFormat", from.textures.format);
    set(own, "sharpSize", from.textures.width);
    set(own, "sharpFades", new three.Vector4(...from.fades));
    set(own, "sharpScale", this.#tag.halfTangent / from.halfTangent);
  }

  /** Draws only the faces that a view around `forward` with this half angle can see. */
  cull(forward: three.Vector3, halfAngle: number): void {
    const ofFace = Math.atan(Math.SQRT2 * (this.#tag?.halfTangent ?? 1));
    this.#showFaces(({ axis }) => axis.angleTo(forward) < halfAngle + ofFace + CULL_SLACK);
  }

  showOnly(face: number): void {
    this.#showFaces((_, index) => index === face);
  }

  /** Less than 1: what of it is nearest is blended over what was drawn before. Takes effect with the next culling. */
  set opacity(value: number) {
    this.#opacity = value;
    set(this.#shared, "opacity", value);
    const which = value < 1 ? 1 : 0;
    for (const { meshes, materials, backdrop, backdropMaterials } of this.#faces) {
      for (const part of PARTS) meshes[part].material = materials[part][which];
      if (backdrop && backdropMaterials) backdrop.material = backdropMaterials[which];
    }
  }

  set brightness(value: number) {
    set(this.#shared, "brightness", value);
  }

  /** Inverse depth seen in a direction from the rendered point, with what is needed to turn it into metres. */
  get depthView(): DepthView | null {
    if (!this.#tag || !this.#depth) return null;
    return { tag: this.#tag, shape: this.shape, size: this.#depth.image.width, samples: this.#samples };
  }

  /** Inverse depth of all faces, u16, as the shaders have it. */
  get depthTexture(): three.DataArrayTexture | null {
    return this.#depth;
  }

  dispose(): void {
    closePicture(this.#next?.picture);
    this.#next = null;
    this.object.removeFromParent();
    for (const { meshes, outlines, materials, backdrop, backdropMaterials } of this.#faces) {
      backdrop?.geometry.dispose();
      for (const material of backdropMaterials ?? []) material.dispose();
      for (const part of PARTS) {
        meshes[part].geometry.dispose();
        outlines[part].material.dispose();
        for (const material of materials[part]) material.dispose();
      }
    }
    this.#front.dispose();
    this.#back.dispose();
    this.#depth?.dispose();
  }

  #showFaces(visible: (face: FaceObjects, index: number) => boolean): void {
    this.#faces.forEach((face, index) => {
      const shown = visible(face, index);
      if (face.backdrop) face.backdrop.visible = shown;
      for (const part of PARTS) {
        face.meshes[part].visible = shown;
        face.outlines[part].visible = shown && this.#opacity < 1;
      }
    });
  }

  #show(tag: Tag): void {
    [this.#front, this.#back] = [this.#back, this.#front];
    const shared = this.#shared;
    set(shared, "depthScale", 65_535 * tag.near);
    set(shared, "halfTangent", tag.halfTangent);
    set(shared, "foveation", tag.foveation);
    set(shared, "format", this.#front.format);
    set(shared, "faceSize", this.#front.width / (this.shape === "stereo" ? 2 : ATLAS_COLUMNS));
    set(shared, "luma", this.#front.luma);
    set(shared, "chroma", this.#front.chroma);
    const point = new three.Vector3(...tag.point);
    const turn = new three.Quaternion(...tag.rotation);
    this.#faces.forEach(({ axis, own }, index) => {
      if (this.shape !== "stereo") {
        set(own, "point", point);
        return;
      }
      const along = (x: number, y: number, z: number): three.Vector3 =>
        new three.Vector3(x, y, z).applyQuaternion(turn);
      const [right, down, ahead] = [along(1, 0, 0), along(0, -1, 0), along(0, 0, -1)];
      axis.copy(ahead);
      set(own, "worldFromFace", columns(right, down, ahead));
      set(own, "point", point.clone().addScaledVector(right, index === 0 ? -tag.halfIpd : tag.halfIpd));
    });
    this.#tag = tag;
  }

  #replaceFace({ face, samples, mesh }: DepthUpdate["faces"][number], size: number): void {
    const objects = this.#faces[face];
    if (!objects) return;
    const depth = this.#depthTextureOf(size);
    (depth.image.data as Uint16Array).set(samples, face * size * size);
    depth.addLayerUpdate(face);
    depth.needsUpdate = true;
    this.#samples[face] = samples;
    this.present[face] = mesh.present;
    objects.sheet = mesh.sheet;
    replaceGeometry(objects, mesh);
    if (this.#better[face]) this.#indexSheet(face);
  }

  #indexSheet(face: number): void {
    const objects = this.#faces[face];
    if (!objects?.sheet.length) return;
    const better = this.#better[face];
    const index = better ? uncovered(objects.sheet, better) : objects.sheet;
    const { geometry } = objects.meshes.sheet;
    geometry.setIndex(new three.BufferAttribute(index, 1));
    geometry.setDrawRange(0, index.length);
  }

  #depthTextureOf(size: number): three.DataArrayTexture {
    if (this.#depth?.image.width === size) return this.#depth;
    this.#depth?.dispose();
    const count = this.#faces.length;
    const depth = new three.DataArrayTexture(new Uint16Array(count * size * size), size, size, count);
    depth.format = three.RedIntegerFormat;
    depth.type = three.UnsignedShortType;
    depth.internalFormat = "R16UI";
    depth.unpackAlignment = 2;
    depth.needsUpdate = true;
    this.#depth = depth;
    set(this.#shared, "depth", depth);
    set(this.#shared, "depthSize", size);
    return depth;
  }
}

export interface DepthView {
  readonly tag: Tag;
  readonly shape: Shape;
  readonly size: number;
  readonly samples: readonly (Uint16Array | null)[];
}

/** Whether a place lies behind what is seen of the layer in its direction. */
export function isBehind(view: DepthView, p: three.Vector3): boolean {
  const { tag, size } = view;
  const d = new three.Vector3(p.x - tag.point[0], p.y - tag.point[1], p.z - tag.point[2]);
  let [index, ahead, right, down] = [0, 0, 0, 0];
  if (view.shape === "stereo") {
    d.applyQuaternion(new three.Quaternion(...tag.rotation).invert());
    [ahead, right, down] = [-d.z, d.x + tag.halfIpd, -d.y];
    if (ahead <= 0 || Math.max(Math.abs(right), Math.abs(down)) > ahead * tag.halfTangent) return false;
  } else {
    const along = (v: Vec3): number => v[0] * d.x + v[1] * d.y + v[2] * d.z;
    ahead = Math.max(Math.abs(d.x), Math.abs(d.y), Math.abs(d.z));
    index = FACES.findIndex((f) => along(f.forward) === ahead);
    const face = FACES[index];
    if (!face) return false;
    [right, down] = [along(face.right), -along(face.up)];
  }
  const samples = view.samples[index];
  if (!samples) return false;
  const toTexel = (c: number): number =>
    Math.max(0, Math.min(size - 1, Math.floor(((c / (ahead * tag.halfTangent)) * 0.5 + 0.5) * size)));
  const texel = samples[toTexel(down) * size + toTexel(right)] ?? 0;
  return texel > 0 && ahead >= (65_535 * tag.near) / texel;
}

function set(uniforms: Uniforms, name: string, value: unknown): void {
  const found = uniforms[name];
  if (found) found.value = value;
}

function columns(r: three.Vector3, d: three.Vector3, f: three.Vector3): three.Matrix3 {
  return new three.Matrix3(r.x, d.x, f.x, r.y, d.y, f.y, r.z, d.z, f.z);
}

function newFace(index: number, shape: Shape, behind: boolean, shared: Uniforms): FaceObjects {
  const face = FACES[index] ?? FACES[0];
  const [right, up, ahead] = [face.right, face.up, face.forward].map((v) => new three.Vector3(...v));
  if (!right || !up || !ahead) throw new Error("a face has three axes");
  const columnsOfAtlas = shape === "stereo" ? 2 : ATLAS_COLUMNS;
  const own: Uniforms = {
    worldFromFace: { value: columns(right, up.negate(), ahead) },
    point: { value: new three.Vector3() },
    face: { value: index },
    faceOrigin: { value: new three.Vector2(index % columnsOfAtlas, Math.floor(index / columnsOfAtlas)) },
    sharp: { value: 0 },
    sharpLuma: { value: null },
    sharpChroma: { value: null },
    sharpFormat: { value: 0 },
    sharpSize: { value: 1 },
    sharpScale: { value: 1 },
    sharpFades: { value: new three.Vector4() },
  };
  const order = behind ? BEHIND_ORDER : ORDER;
  const vertexShaders = { surface: GRID_VERTEX, sheet: GRID_VERTEX, edges: EDGE_VERTEX, backdrop: BACKDROP_VERTEX };
  const kind: Record<string, number> = {
    ...(behind ? { BEHIND: 1 } : {}),
    ...(shape === "stereo" ? { STEREO: 1 } : {}),
    ...(!behind && shape === "panorama" ? { SHARP: 1 } : {}),
  };
  const material = (part: Part | "backdrop", options: three.ShaderMaterialParameters): three.ShaderMaterial =>
    new three.ShaderMaterial({
      glslVersion: three.GLSL3,
      vertexShader: vertexShaders[part],
      fragmentShader: FRAGMENT,
      uniforms: { ...shared, ...own },
      side: three.DoubleSide,
      toneMapped: false,
      ...options,
      defines: { PART: part === "backdrop" ? PARTS.length : PARTS.indexOf(part), ...kind, ...options.defines },
    });
  const both = (part: Part): Materials => [material(part, {}), material(part, { ...BLENDED })];
  const materials = { surface: both("surface"), sheet: both("sheet"), edges: both("edges") };
  const placed = (mesh: PartMesh, renderOrder: number): PartMesh => {
    mesh.frustumCulled = false;
    mesh.matrixAutoUpdate = false;
    mesh.renderOrder = renderOrder;
    // What three calls the left eye's layer and the right eye's.
    if (shape === "stereo") mesh.layers.set(index + 1);
    return mesh;
  };
  const mesh = (part: Part): PartMesh =>
    placed(new three.Mesh(new three.BufferGeometry(), materials[part][0]), order[part]);
  const meshes = { surface: mesh("surface"), sheet: mesh("sheet"), edges: mesh("edges") };
  const outline = (part: Part): PartMesh => {
    const m = placed(new three.Mesh(meshes[part].geometry, material(part, { ...OUTLINE })), order[part] - 10);
    m.visible = false;
    return m;
  };
  const backdropMaterials: Materials | null = behind
    ? null
    : [material("backdrop", { ...BEHIND_ALL }), material("backdrop", { ...BLENDED, ...BEHIND_ALL })];
  // A pair of eyes does not look everywhere: its rim goes on around it.
  const side = shape === "stereo" ? 6 : 1;
  return {
    axis: ahead.clone(),
    own,
    backdrop: backdropMaterials
      ? placed(new three.Mesh(squareGeometry(side), backdropMaterials[0]), order.backdrop)
      : null,
    backdropMaterials,
    meshes,
    outlines: { surface: outline("surface"), sheet: outline("sheet"), edges: outline("edges") },
    materials,
    sheet: new Uint16Array(0),
  };
}

function replaceGeometry({ meshes }: FaceObjects, mesh: FaceMesh): void {
  const grid = new three.BufferAttribute(mesh.vertices, VERTEX_NUMBERS);
  for (const [part, index] of [
    ["surface", mesh.surface],
    ["sheet", mesh.sheet],
  ] as const) {
    const { geometry } = meshes[part];
    geometry.dispose();
    geometry.setAttribute("grid", grid);
    geometry.setIndex(new three.BufferAttribute(index, 1));
    geometry.setDrawRange(0, index.length);
  }
  const { geometry } = meshes.edges;
  const cells = mesh.edges.length / (4 * EDGE_NUMBERS);
  geometry.dispose();
  geometry.setAttribute("edge", new three.BufferAttribute(mesh.edges, EDGE_NUMBERS));
  geometry.setIndex(new three.BufferAttribute(quadIndices(cells), 1));
  geometry.setDrawRange(0, cells * 6);
}

/** The square that a face spans without its gutters, so that six of them meet and do not overlap. */
function squareGeometry(half: number): three.BufferGeometry {
  const geometry = new three.BufferGeometry();
  const corners = [-1, -1, 1, -1, -1, 1, 1, 1].map((c) => c * half);
  geometry.setAttribute("corner", new three.BufferAttribute(new Float32Array(corners), 2));
  geometry.setIndex(new three.BufferAttribute(quadIndices(1), 1));
  return geometry;
}

function quadIndices(cells: number): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(cells * 6);
  for (let c = 0; c < cells; c++) out.set([4 * c, 4 * c + 2, 4 * c + 1, 4 * c + 1, 4 * c + 2, 4 * c + 3], c * 6);
  return out;
}
