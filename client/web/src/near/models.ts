// What stands near and moves: small glTF models that the headset draws itself, in the light that the picture carries.
import * as three from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import type { LocalModel, Stop } from "../gen/control_pb";
import type { Tag } from "../wire/frame";
import { LIGHT } from "./light";

/** Files larger than this are not what a stop's near things are (at most 100 k triangles). */
const MOST_BYTES = 64 * 1024 * 1024;
/** They stand this much before the layer that they touch, as people do. */
const BIAS_M = 0.03;

const VERTEX = /* glsl */ `
out vec3 outward;
out vec2 place;
out vec3 tint;
#include <common>
#include <skinning_pars_vertex>
void main() {
  vec3 objectNormal = normal;
  #include <skinbase_vertex>
  #include <skinnormal_vertex>
  outward = mat3(modelMatrix) * objectNormal;
#if defined(HAS_PICTURE) || defined(HAS_GLOW)
  place = (mapTransform * vec3(uv, 1.0)).xy;
#endif
#ifdef USE_COLOR
  tint = color.rgb;
#else
  tint = vec3(1.0);
#endif
  vec3 transformed = position;
  #include <skinning_vertex>
  vec4 seen = modelViewMatrix * vec4(transformed, 1.0);
  gl_Position = projectionMatrix * seen;
  float nearer = 1.0 - min(0.3, ${BIAS_M.toFixed(3)} / max(0.05, length(seen.xyz)));
  vec4 shifted = projectionMatrix * vec4(seen.xyz * nearer, 1.0);
  gl_Position.z = shifted.z / shifted.w * gl_Position.w;
}`.replace("#include <common>", "uniform mat3 mapTransform;\n#include <common>");

const FRAGMENT = /* glsl */ `
precision highp float;
${LIGHT}
uniform vec3 key;
uniform vec3 keyLight;
uniform vec3 baseColor;
uniform float alpha;
uniform float alphaCutoff;
uniform vec3 emissive;
uniform float presence;
uniform float brightness;
uniform sampler2D map;
uniform sampler2D emissiveMap;
in vec3 outward;
in vec2 place;
in vec3 tint;
out vec4 color;
float noise() {
  return fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
}
void main() {
  if (noise() >= presence) discard;
  vec4 base = vec4(baseColor * tint, alpha);
#ifdef HAS_PICTURE
  base *= texture(map, place);
#endif
  if (base.a < alphaCutoff) discard;
  vec3 n = normalize(gl_FrontFacing ? outward : -outward);
  vec3 light = ambientLight(n) + keyLight * max(dot(n, key), 0.0);
  vec3 glow = emissive;
#ifdef HAS_GLOW
  glow *= texture(emissiveMap, place).rgb;
#endif
  color = vec4(toneMap((base.rgb * light + glow) * exposure) * brightness, base.a);
}`;

/** One light for all models. */
interface Light {
  readonly ambient: { value: three.Vector3[] };
  readonly exposure: { value: number };
  readonly key: { value: three.Vector3 };
  readonly keyLight: { value: three.Vector3 };
  readonly presence: { value: number };
  readonly brightness: { value: number };
}

interface Model {
  readonly scene: three.Object3D;
  readonly mixer: three.AnimationMixer | null;
  readonly lengthS: number;
}

export class LocalModels {
  readonly object = new three.Group();
  readonly #trouble: (message: string) => void;
  /** By address, which says what is in it; the stops of a tour share theirs. */
  readonly #loaded = new Map<string, Promise<Model | null>>();
  #here: Model[] = [];
  #stop: Stop | null = null;
  readonly #light: Light = {
    ambient: { value: Array.from({ length: 9 }, () => new three.Vector3()) },
    exposure: { value: 1 },
    key: { value: new three.Vector3(0.36, 0.89, 0.27) },
    keyLight: { value: new three.Vector3() },
    presence: { value: 1 },
    brightness: { value: 1 },
  };

  constructor(trouble: (message: string) => void) {
    this.#trouble = trouble;
  }

  get count(): number {
    return this.#here.length;
  }

  /** Fetches what a stop has, ahead of the time at which it is shown. */
  prepare(stop: Stop): Promise<(Model | null)[]> {
    return Promise.all(
      stop.localModels.map((model) => {
        const known = this.#loaded.get(model.urlPath);
        if (known) return known;
        const coming = this.#load(model).catch((error: unknown) => {
          this.#trouble(`${model.urlPath}: ${error instanceof Error ? error.message : String(error)}`);
          // The next stop tries again.
          this.#loaded.delete(model.urlPath);
          return null;
        });
        this.#loaded.set(model.urlPath, coming);
        return coming;
      }),
    );
  }

  setStop(stop: Stop): void {
    this.#stop = stop;
    this.#here = [];
    this.object.clear();
    void this.prepare(stop).then((models) => {
      if (this.#stop !== stop) return;
      this.#here = models.filter((m) => m !== null);
      for (const { scene } of this.#here) this.object.add(scene);
    });
  }

  /** `timeS`: of the scene. `presence`: how much of the layer they stand in is there. */
  update(tag: Tag | null, timeS: number | null, presence: number, brightness: number): void {
    if (this.#here.length === 0) return;
    if (tag) this.#shine(tag);
    this.#light.presence.value = presence;
    this.#light.brightness.value = brightness;
    if (timeS === null) return;
    for (const { mixer, lengthS } of this.#here) {
      // Each animation repeats by itself; a time before its beginning counts from its end.
      if (mixer && lengthS > 0) mixer.setTime(((timeS % lengthS) + lengthS) % lengthS);
    }
  }

  #shine(tag: Tag): void {
    const { ambient, exposure, key, keyLight } = this.#light;
    ambient.value.forEach((c, i) => {
      c.set(tag.ambient[3 * i] ?? 0, tag.ambient[3 * i + 1] ?? 0, tag.ambient[3 * i + 2] ?? 0);
    });
    exposure.value = tag.exposure;
    // The picture does not say where the sun is: most light comes from where the ambient has most, and from above.
    const [mean, y, z, x] = ambient.value;
    if (!mean || !x || !y || !z) return;
    const sum = (v: three.Vector3): number => v.x + v.y + v.z;
    key.value.set(sum(x), Math.abs(sum(y)) + 0.25 * sum(mean), sum(z)).normalize();
    keyLight.value.copy(mean).multiplyScalar(0.282095 * 0.6);
  }

  async #load(model: LocalModel): Promise<Model> {
    if (model.bytes > MOST_BYTES) throw new Error(`${model.bytes} bytes are too many`);
    // Content-addressed: what the browser has kept is what it was.
    const response = await fetch(model.urlPath);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const bytes = await response.arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    if (digest.some((b, i) => b !== model.sha256[i])) throw new Error("it is not what the server said");
    const loader = new GLTFLoader();
    // Pictures through elements: the page's policy lets nothing be fetched but from the server.
    loader.register((parser) => {
      parser.textureLoader = new three.TextureLoader(parser.options.manager);
      return { name: "pictures" };
    });
    const gltf = await loader.parseAsync(bytes, "");
    gltf.scene.traverse((node) => {
      if (!(node instanceof three.Mesh)) return;
      const materials: three.Material[] = Array.isArray(node.material) ? node.material : [node.material];
      const lit = materials.map((m) => this.#material(m, node.geometry.hasAttribute("color")));
      node.material = lit.length === 1 ? lit[0] : lit;
      node.frustumCulled = !(node instanceof three.SkinnedMesh);
    });
    const mixer = gltf.animations.length > 0 ? new three.AnimationMixer(gltf.scene) : null;
    for (const clip of gltf.animations) mixer?.clipAction(clip).play();
    const lengthS = Math.max(0, ...gltf.animations.map((clip) => clip.duration));
    return { scene: gltf.scene, mixer, lengthS };
  }

  #material(from: three.Material, hasColor: boolean): three.ShaderMaterial {
    const standard = from instanceof three.MeshStandardMaterial ? from : new three.MeshStandardMaterial();
    const { map, emissiveMap } = standard;
    const emissive = standard.emissive.clone().multiplyScalar(standard.emissiveIntensity);
    const textured = map ?? emissiveMap;
    textured?.updateMatrix();
    return new three.ShaderMaterial({
      glslVersion: three.GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: {
        ...this.#light,
        baseColor: { value: standard.color.clone() },
        alpha: { value: standard.opacity },
        alphaCutoff: { value: standard.alphaTest },
        emissive: { value: new three.Vector3(emissive.r, emissive.g, emissive.b) },
        map: { value: map },
        emissiveMap: { value: emissiveMap },
        mapTransform: { value: textured?.matrix ?? new three.Matrix3() },
      },
      defines: { ...(map ? { HAS_PICTURE: 1 } : {}), ...(emissiveMap ? { HAS_GLOW: 1 } : {}) },
      vertexColors: hasColor,
      transparent: standard.transparent,
      depthWrite: !standard.transparent,
      side: standard.side,
      toneMapped: false,
    });
  }
}
