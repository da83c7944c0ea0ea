// Decoded pictures as textures.
import * as three from "three";
import type { Picture } from "../worker/messages";

/** What a shader needs to know of a picture: its planes, or the picture itself where the browser keeps it opaque. */
export class Textures {
  readonly #renderer: three.WebGLRenderer;
  readonly #luma = plane();
  readonly #chroma = plane();
  readonly #frame = new three.Texture();
  #open: VideoFrame | null = null;
  /** 0: luma and chroma. 1: RGBA in luma. */
  format: 0 | 1 = 0;
  width = 1;

  constructor(renderer: three.WebGLRenderer) {
    this.#renderer = renderer;
    this.#frame.flipY = false;
    this.#frame.generateMipmaps = false;
    this.#frame.minFilter = three.LinearFilter;
  }

  get luma(): three.Texture {
    return this.format === 1 ? this.#frame : this.#luma;
  }

  get chroma(): three.Texture {
    return this.#chroma;
  }

  /** The uploads of a picture, one after another; the first of them makes what was there before useless. */
  uploads(picture: Picture): (() => void)[] {
    if (picture.format === "frame") {
      return [
        () => {
          const { frame } = picture;
          this.format = 1;
          this.width = frame.displayWidth;
          this.#frame.image = frame;
          this.#frame.needsUpdate = true;
          this.#renderer.initTexture(this.#frame);
          this.#frame.image = null;
          this.#open?.close();
          this.#open = frame;
        },
      ];
    }
    const { width, height, y, chroma } = picture;
    return [
      () => {
        this.format = 0;
        this.width = width;
        this.#upload(this.#luma, y, width, height, three.RedFormat);
      },
      () => this.#upload(this.#chroma, chroma, Math.ceil(width / 2), Math.ceil(height / 2), three.RGFormat),
    ];
  }

  dispose(): void {
    this.#open?.close();
    this.#open = null;
    for (const texture of [this.#luma, this.#chroma, this.#frame]) texture.dispose();
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
}

export function closePicture(picture: Picture | undefined): void {
  if (picture?.format === "frame") picture.frame.close();
}

function plane(): three.DataTexture {
  const t = new three.DataTexture(new Uint8Array(4), 1, 1, three.RedFormat);
  t.minFilter = three.LinearFilter;
  t.magFilter = three.LinearFilter;
  t.unpackAlignment = 1;
  return t;
}
