// One vantage as the headset draws it: the six faces of its newest complete set, warped by depth to the eye.
import * as three from "three";
import { ATLAS_COLUMNS, FACE_COUNT, FACES, type Vec3 } from "../wire/cube";
import type { Tag } from "../wire/frame";
import type { DecodedSet, DepthUpdate, Picture } from "../worker/messages";
import { EDGE_NUMBERS, type FaceMesh, VERTEX_NUMBERS } from "./mesh";
import { BACKDROP_VERTEX, EDGE_VERTEX, FRAGMENT, GRID_VERTEX } from "./shader";

const PARTS = ["surface", "sheet", "edges"] as const;
type Part = (typeof PARTS)[number];

/** Extra angle within which a face is drawn: near things move by more than the eye's offset suggests. */
const CULL_SLACK = 0.35;
const HALF_DIAGONAL_OF_FACE = Math.atan(Math.SQRT2);

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

type PartMesh = three.Mesh<three.BufferGeometry, three.ShaderMaterial>;
type Uniforms = Record<string, { value: unknown }>;

interface FaceObjects {
  readonly axis: three.Vector3;
  readonly meshes: Record<Part, PartMesh>;
  /** The same shapes, drawn before a cross-fade blends them: into the depth buffer alone. */
  readonly outlines: Record<Part, PartMesh>;
  /** As it is, and during a cross-fade. */
  readonly materials: Record<Part, readonly [three.ShaderMaterial, three.ShaderMaterial]>;
  readonly backdrop: PartMesh;
  readonly backdropMaterials: readonly [three.ShaderMaterial, three.ShaderMaterial];
}

/** The textures of one picture; two of them take turns, so that the one on show is never half new. */
interface Pictures {
  readonly luma: three.DataTexture;
  readonly chroma: three.DataTexture;
  readonly frame: three.Texture;
}

export class Layer {
  readonly object = new three.Group();
  /** `vantageKey` of what it shows. */
  readonly key: number;
  /** Faces that have been drawn before the layer is on show. */
  rehearsed = 0;
  #tag: Tag | null = null;
  #opacity = 1;
  readonly #renderer: three.WebGLRenderer;
  readonly #faces: FaceObjects[];
  readonly #shared: Uniforms;
  #front = newPictures();
  #back = newPictures();
  #depth: three.DataArrayTexture | null = null;
  #samples: (Uint16Array | null)[] = Array.from({ length: FACE_COUNT }, () => null);
  /** Faces whose depth has arrived but is not shown yet. */
  #newFaces = new Map<number, DepthUpdate["faces"][number]>();
  #newDepthSize = 0;
  #next: { tag: Tag; picture: Picture } | null = null;
  #steps: (() => void)[] = [];
  #openFrame: VideoFrame | null = null;

  constructor(renderer: three.WebGLRenderer, key: number) {
    this.#renderer = renderer;
    this.key = key;
    this.#shared = {
      point: { value: new three.Vector3() },
      depthScale: { value: 1 },
      halfTangent: { value: 1 },
      depthSize: { value: 512 },
      faceSize: { value: 512 },
      depth: { value: null },
      luma: { value: null },
      chroma: { value: null },
      format: { value: 0 },
      opacity: { value: 1 },
      brightness: { value: 1 },
    };
    this.#faces = FACES.map((_, i) => newFace(i, this.#shared));
    for (const { meshes, outlines, backdrop } of this.#faces) {
      for (const part of PARTS) this.object.add(meshes[part], outlines[part]);
      this.object.add(backdrop);
    }
    this.object.visible = false;
  }

  /** The set on show. */
  get tag(): Tag | null {
    return this.#tag;
  }

  /** Takes a complete set; the newest wins, depth of those in between is kept. */
  push(set: DecodedSet): void {
    for (const face of set.depth.faces) this.#newFaces.set(face.face, face);
    this.#newDepthSize = set.depth.size;
    closePicture(this.#next?.picture);
    this.#next = { tag: set.tag, picture: set.picture };
  }

  /**
   * Uploads a part of what has arrived, at most about `budgetMs` of it, at least one step. Returns the tag of the set
   * that is on show from now on, if one has become so.
   */
  work(budgetMs: number): Tag | null {
    const until = performance.now() + budgetMs;
    const before = this.#tag;
    do {
      if (this.#steps.length === 0 && !this.#plan()) break;
      this.#steps.shift()?.();
    } while (performance.now() < until);
    return this.#tag === before ? null : this.#tag;
  }

  /** Whether everything that has arrived is on show. */
  get idle(): boolean {
    return this.#steps.length === 0 && this.#next === null;
  }

  /** Draws only the faces that a view around `forward` with this half angle can see. */
  cull(forward: three.Vector3, halfAngle: number): void {
    this.#showFaces(({ axis }) => axis.angleTo(forward) < halfAngle + HALF_DIAGONAL_OF_FACE + CULL_SLACK);
  }

  showOnly(face: number): void {
    this.#showFaces((_, index) => index === face);
  }

  /** Less than 1: what of it is nearest is blended over what was drawn before. Takes effect with the next culling. */
  set opacity(value: number) {
    this.#opacity = value;
    (this.#shared.opacity as { value: number }).value = value;
    const which = value < 1 ? 1 : 0;
    for (const { meshes, materials, backdrop, backdropMaterials } of this.#faces) {
      for (const part of PARTS) meshes[part].material = materials[part][which];
      backdrop.material = backdropMaterials[which];
    }
  }

  #showFaces(visible: (face: FaceObjects, index: number) => boolean): void {
    this.#faces.forEach((face, index) => {
      const shown = visible(face, index);
      face.backdrop.visible = shown;
      for (const part of PARTS) {
        face.meshes[part].visible = shown;
        face.outlines[part].visible = shown && this.#opacity < 1;
      }
    });
  }

  set brightness(value: number) {
    (this.#shared.brightness as { value: number }).value = value;
  }

  /** Inverse depth seen in a direction from the rendered point, with what is needed to turn it into metres. */
  get depthView(): { tag: Tag; size: number; samples: readonly (Uint16Array | null)[] } | null {
    return this.#tag && this.#depth ? { tag: this.#tag, size: this.#depth.image.width, samples: this.#samples } : null;
  }

  /** Inverse depth of all faces, u16, as the shaders have it. */
  get depthTexture(): three.DataArrayTexture | null {
    return this.#depth;
  }

  dispose(): void {
    closePicture(this.#next?.picture);
    this.#openFrame?.close();
    this.#openFrame = null;
    this.#next = null;
    this.#steps = [];
    this.object.removeFromParent();
    for (const { meshes, outlines, materials, backdrop, backdropMaterials } of this.#faces) {
      backdrop.geometry.dispose();
      for (const material of backdropMaterials) material.dispose();
      for (const part of PARTS) {
        meshes[part].geometry.dispose();
        outlines[part].material.dispose();
        for (const material of materials[part]) material.dispose();
      }
    }
    for (const p of [this.#front, this.#back]) for (const t of Object.values(p)) (t as three.Texture).dispose();
    this.#depth?.dispose();
  }

  /** Cuts the newest set into steps; the last one puts it on show. False where there is nothing to do. */
  #plan(): boolean {
    const next = this.#next;
    if (!next) return false;
    this.#next = null;
    const { picture, tag } = next;
    const to = this.#back;
    const newFaces = [...this.#newFaces.values()];
    this.#newFaces.clear();
    const depthSize = this.#newDepthSize;
    if (picture.format === "frame") {
      this.#steps.push(() => {
        to.frame.image = picture.frame;
        to.frame.needsUpdate = true;
        this.#renderer.initTexture(to.frame);
        to.frame.image = null;
        this.#openFrame?.close();
        this.#openFrame = picture.frame;
      });
    } else {
      const { width, height } = picture;
      this.#steps.push(() => this.#upload(to.luma, picture.y, width, height, three.RedFormat));
      this.#steps.push(() =>
        this.#upload(to.chroma, picture.chroma, Math.ceil(width / 2), Math.ceil(height / 2), three.RGFormat),
      );
    }
    // What is not on show yet may take one face at a time; what is changes in one go.
    const show = (): void => this.#show(tag, picture);
    if (this.#tag) {
      this.#steps.push(() => {
        for (const f of newFaces) this.#replaceFace(f, depthSize);
        show();
      });
    } else {
      for (const f of newFaces) this.#steps.push(() => this.#replaceFace(f, depthSize));
      this.#steps.push(show);
    }
    return true;
  }

  #upload(
    texture: three.DataTexture,
    data: Uint8Array<ArrayBuffer>,
    width: number,
    height: number,
    format: three.PixelFormat,
  ): void {
    if (texture.image.width !== width || texture.image.height !== height || texture.format !== format) {
      texture.dispose();
      texture.format = format;
    }
    texture.image = { data, width, height };
    texture.needsUpdate = true;
    this.#renderer.initTexture(texture);
  }

  #show(tag: Tag, picture: Picture): void {
    [this.#front, this.#back] = [this.#back, this.#front];
    const set = (uniform: string, value: unknown): void => {
      const found = this.#shared[uniform];
      if (found) found.value = value;
    };
    set("point", new three.Vector3(...tag.point));
    set("depthScale", 65_535 * tag.near);
    set("halfTangent", tag.halfTangent);
    set("format", picture.format === "frame" ? 1 : 0);
    const width = picture.format === "frame" ? picture.frame.displayWidth : picture.width;
    set("faceSize", width / ATLAS_COLUMNS);
    set("luma", picture.format === "frame" ? this.#front.frame : this.#front.luma);
    set("chroma", this.#front.chroma);
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
    replaceGeometry(objects, mesh);
  }

  #depthTextureOf(size: number): three.DataArrayTexture {
    if (this.#depth?.image.width === size) return this.#depth;
    this.#depth?.dispose();
    const depth = new three.DataArrayTexture(new Uint16Array(FACE_COUNT * size * size), size, size, FACE_COUNT);
    depth.format = three.RedIntegerFormat;
    depth.type = three.UnsignedShortType;
    depth.internalFormat = "R16UI";
    depth.unpackAlignment = 2;
    depth.needsUpdate = true;
    this.#depth = depth;
    for (const [name, value] of [["depth", depth] as const, ["depthSize", size] as const]) {
      const uniform = this.#shared[name];
      if (uniform) uniform.value = value;
    }
    return depth;
  }
}

/** Where a ray from `origin` (near the rendered point) meets the layer, stop-local metres; `null` for sky. */
export function raycast(layer: Layer, origin: three.Vector3, direction: three.Vector3): three.Vector3 | null {
  const view = layer.depthView;
  if (!view) return null;
  const p = new three.Vector3();
  let before = 0;
  // Steps grow with the distance, as the error of what is behind an edge does.
  for (let t = 0.2; t < 650; before = t, t *= 1.02) {
    p.copy(direction).multiplyScalar(t).add(origin);
    if (!isBehind(view, p)) continue;
    let [low, high] = [before, t];
    for (let i = 0; i < 12; i++) {
      const middle = (low + high) / 2;
      p.copy(direction).multiplyScalar(middle).add(origin);
      if (isBehind(view, p)) high = middle;
      else low = middle;
    }
    return p.copy(direction).multiplyScalar(high).add(origin);
  }
  return null;
}

function isBehind(view: NonNullable<Layer["depthView"]>, p: three.Vector3): boolean {
  const d: Vec3 = [p.x - view.tag.point[0], p.y - view.tag.point[1], p.z - view.tag.point[2]];
  const most = Math.max(Math.abs(d[0]), Math.abs(d[1]), Math.abs(d[2]));
  const index = FACES.findIndex((f) => f.forward[0] * d[0] + f.forward[1] * d[1] + f.forward[2] * d[2] === most);
  const face = FACES[index];
  const samples = view.samples[index];
  if (!face || !samples) return false;
  const along = (v: Vec3): number => v[0] * d[0] + v[1] * d[1] + v[2] * d[2];
  const toTexel = (c: number): number =>
    Math.max(0, Math.min(view.size - 1, Math.floor(((c / (most * view.tag.halfTangent)) * 0.5 + 0.5) * view.size)));
  const texel = samples[toTexel(-along(face.up)) * view.size + toTexel(along(face.right))] ?? 0;
  return texel > 0 && most >= (65_535 * view.tag.near) / texel;
}

function newFace(index: number, shared: Uniforms): FaceObjects {
  const face = FACES[index] ?? FACES[0];
  const [r, u, f] = [face.right, face.up, face.forward];
  const own: Uniforms = {
    worldFromFace: { value: new three.Matrix3(r[0], -u[0], f[0], r[1], -u[1], f[1], r[2], -u[2], f[2]) },
    face: { value: index },
    faceOrigin: { value: new three.Vector2(index % ATLAS_COLUMNS, Math.floor(index / ATLAS_COLUMNS)) },
  };
  const vertexShaders = { surface: GRID_VERTEX, sheet: GRID_VERTEX, edges: EDGE_VERTEX, backdrop: BACKDROP_VERTEX };
  const material = (part: Part | "backdrop", options: three.ShaderMaterialParameters): three.ShaderMaterial =>
    new three.ShaderMaterial({
      glslVersion: three.GLSL3,
      vertexShader: vertexShaders[part],
      fragmentShader: FRAGMENT,
      uniforms: { ...shared, ...own },
      side: three.DoubleSide,
      toneMapped: false,
      ...options,
      defines: { PART: part === "backdrop" ? PARTS.length : PARTS.indexOf(part), ...options.defines },
    });
  const both = (part: Part): readonly [three.ShaderMaterial, three.ShaderMaterial] => [
    material(part, {}),
    material(part, { ...BLENDED }),
  ];
  const materials = { surface: both("surface"), sheet: both("sheet"), edges: both("edges") };
  // Nearest first, so that what is hidden is not shaded.
  const order = { edges: -13, surface: -12, sheet: -11, backdrop: -10 };
  const mesh = (part: Part): PartMesh => {
    const m = new three.Mesh(new three.BufferGeometry(), materials[part][0]);
    m.frustumCulled = false;
    m.matrixAutoUpdate = false;
    m.renderOrder = order[part];
    return m;
  };
  const meshes = { surface: mesh("surface"), sheet: mesh("sheet"), edges: mesh("edges") };
  const outline = (part: Part): PartMesh => {
    const m = new three.Mesh(meshes[part].geometry, material(part, { ...OUTLINE }));
    m.frustumCulled = false;
    m.matrixAutoUpdate = false;
    m.renderOrder = order[part] - 10;
    m.visible = false;
    return m;
  };
  const backdropMaterials = [
    material("backdrop", { ...BEHIND_ALL }),
    material("backdrop", { ...BLENDED, ...BEHIND_ALL }),
  ] as const;
  const backdrop: PartMesh = new three.Mesh(squareGeometry(), backdropMaterials[0]);
  backdrop.frustumCulled = false;
  backdrop.matrixAutoUpdate = false;
  backdrop.renderOrder = order.backdrop;
  return {
    axis: new three.Vector3(...f),
    backdrop,
    backdropMaterials,
    meshes,
    outlines: { surface: outline("surface"), sheet: outline("sheet"), edges: outline("edges") },
    materials,
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
function squareGeometry(): three.BufferGeometry {
  const geometry = new three.BufferGeometry();
  geometry.setAttribute("corner", new three.BufferAttribute(new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), 2));
  geometry.setIndex(new three.BufferAttribute(quadIndices(1), 1));
  return geometry;
}

function quadIndices(cells: number): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(cells * 6);
  for (let c = 0; c < cells; c++) out.set([4 * c, 4 * c + 2, 4 * c + 1, 4 * c + 1, 4 * c + 2, 4 * c + 3], c * 6);
  return out;
}

function newPictures(): Pictures {
  const plane = (): three.DataTexture => {
    const t = new three.DataTexture(new Uint8Array(4), 1, 1, three.RedFormat);
    t.minFilter = three.LinearFilter;
    t.magFilter = three.LinearFilter;
    t.unpackAlignment = 1;
    return t;
  };
  const frame = new three.Texture();
  frame.flipY = false;
  frame.generateMipmaps = false;
  frame.minFilter = three.LinearFilter;
  return { luma: plane(), chroma: plane(), frame };
}

function closePicture(picture: Picture | undefined): void {
  if (picture?.format === "frame") picture.frame.close();
}
