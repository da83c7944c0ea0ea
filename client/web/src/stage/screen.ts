// A whole window that shows an ordinary camera's pictures: no depth, no warp. Of two vantages one fades into the other.
import * as three from "three";
import { Textures } from "../layer/pictures";
import type { Tag } from "../wire/frame";
import { type DecodedSet, vantageKey } from "../worker/messages";

const FADE_MS = 400;

const FRAGMENT = /* glsl */ `
precision highp float;
uniform sampler2D luma;
uniform sampler2D chroma;
uniform int format;
uniform float opacity;
in vec2 place;
out vec4 color;
void main() {
  vec3 rgb = texture(luma, place).rgb;
  if (format == 0) {
    float y = (rgb.r - 16.0 / 255.0) * (255.0 / 219.0);
    vec2 c = (texture(chroma, place).rg - 128.0 / 255.0) * (255.0 / 224.0);
    rgb = clamp(vec3(y + 1.5748 * c.y, y - 0.1873 * c.x - 0.4681 * c.y, y + 1.8556 * c.x), 0.0, 1.0);
  }
  color = vec4(rgb, opacity);
}`;

const VERTEX = /* glsl */ `
out vec2 place;
void main() {
  place = vec2(uv.x, 1.0 - uv.y);
  gl_Position = vec4(position.xy * 2.0, 0.0, 1.0);
}`;

interface Picture {
  readonly key: number;
  readonly mesh: three.Mesh<three.PlaneGeometry, three.ShaderMaterial>;
  /** Two take turns. */
  textures: readonly [Textures, Textures];
  tag: Tag;
  aspect: number;
  sinceMs: number;
}

export class Screen {
  readonly renderer: three.WebGLRenderer;
  readonly #scene = new three.Scene();
  readonly #camera = new three.Camera();
  /** The one on show last. */
  #pictures: Picture[] = [];
  presentedFrames = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.renderer = new three.WebGLRenderer({ canvas, antialias: false, alpha: false });
    this.renderer.setClearColor(0x000000, 1);
    const resize = (): void => {
      this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
      this.renderer.setSize(canvas.clientWidth, canvas.clientHeight, false);
    };
    new ResizeObserver(resize).observe(canvas);
    resize();
  }

  /** What is on show. */
  get tag(): Tag | null {
    return this.#pictures.at(-1)?.tag ?? null;
  }

  push(set: DecodedSet): void {
    const key = vantageKey(set.tag);
    let picture = this.#pictures.find((p) => p.key === key);
    if (!picture) {
      picture = this.#newPicture(key, set.tag);
      this.#pictures.push(picture);
      this.#scene.add(picture.mesh);
    }
    const [front, back] = picture.textures;
    for (const upload of back.uploads(set.picture)) upload();
    picture.textures = [back, front];
    picture.tag = set.tag;
    const { uniforms } = picture.mesh.material;
    const put = (name: string, value: unknown): void => {
      const uniform = uniforms[name];
      if (uniform) uniform.value = value;
    };
    put("luma", back.luma);
    put("chroma", back.chroma);
    put("format", back.format);
    const { picture: p } = set;
    picture.aspect = p.format === "frame" ? p.frame.displayWidth / p.frame.displayHeight : p.width / p.height;
  }

  #newPicture(key: number, tag: Tag): Picture {
    const material = new three.ShaderMaterial({
      glslVersion: three.GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: { luma: { value: null }, chroma: { value: null }, format: { value: 0 }, opacity: { value: 1 } },
      transparent: true,
      depthTest: false,
      depthWrite: false,
      toneMapped: false,
    });
    const mesh = new three.Mesh(new three.PlaneGeometry(1, 1), material);
    mesh.frustumCulled = false;
    const textures = [new Textures(this.renderer), new Textures(this.renderer)] as const;
    return { key, mesh, textures, tag, aspect: 16 / 9, sinceMs: performance.now() };
  }

  /** Once a display frame. */
  draw(): void {
    const now = performance.now();
    const { clientWidth: width, clientHeight: height } = this.renderer.domElement;
    const newest = this.#pictures.at(-1);
    const first = this.#pictures.length === 1;
    const part = newest && !first ? Math.min(1, (now - newest.sinceMs) / FADE_MS) : 1;
    this.#pictures.forEach((picture, i) => {
      // As large as fits: what the camera sees is seen by all.
      const across = width / Math.max(1, height);
      const scale =
        across > picture.aspect ? ([picture.aspect / across, 1] as const) : ([1, across / picture.aspect] as const);
      const position = picture.mesh.geometry.getAttribute("position");
      [-0.5, 0.5, -0.5, 0.5].forEach((x, v) => {
        position.setXY(v, x * scale[0], (v < 2 ? 0.5 : -0.5) * scale[1]);
      });
      position.needsUpdate = true;
      picture.mesh.renderOrder = i;
      const { opacity } = picture.mesh.material.uniforms;
      if (opacity) opacity.value = picture === newest ? part * part * (3 - 2 * part) : 1;
    });
    if (part >= 1) {
      for (const gone of this.#pictures.splice(0, this.#pictures.length - 1)) {
        gone.mesh.removeFromParent();
        gone.mesh.geometry.dispose();
        gone.mesh.material.dispose();
        for (const t of gone.textures) t.dispose();
      }
    }
    this.renderer.render(this.#scene, this.#camera);
    this.presentedFrames += 1;
  }
}
