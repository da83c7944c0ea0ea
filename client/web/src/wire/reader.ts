// Little-endian reading and writing, with errors that name the layout.

/** Bytes that do not follow a layout. The message is the one that the server's codec gives. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Reads fields in order. */
export class Reader {
  readonly #what: string;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(what: string, bytes: Uint8Array) {
    this.#what = what;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    return this.#view.getUint8(this.#need(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#need(2), true);
  }

  i16(): number {
    return this.#view.getInt16(this.#need(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#need(4), true);
  }

  /** Microseconds and the like: refused where a double would lose a unit. */
  i64(field: string): number {
    const value = Number(this.#view.getBigInt64(this.#need(8), true));
    if (!Number.isSafeInteger(value)) throw this.invalid(field, value);
    return value;
  }

  /** A finite f32, or an error naming the field. */
  finite(field: string): number {
    const value = this.#view.getFloat32(this.#need(4), true);
    if (!Number.isFinite(value)) throw this.invalid(field, value);
    return value;
  }

  take(length: number): Uint8Array {
    const at = this.#need(length);
    return this.#bytes.subarray(at, at + length);
  }

  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  /** All bytes must have been read. */
  end(): void {
    const extra = this.#bytes.length - this.#at;
    if (extra > 0) throw new WireError(`${this.#what}: ${extra} bytes too many`);
  }

  invalid(field: string, value: unknown): WireError {
    return new WireError(`${this.#what}: ${field} is ${String(value)}`);
  }

  #need(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      throw new WireError(`${this.#what}: needs ${at + length} bytes, has ${this.#bytes.length}`);
    }
    this.#at = at + length;
    return at;
  }
}

/** Writes fields in order into a buffer that grows. */
export class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #at = 0;
  #last = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    this.#room(1).setUint8(this.#last, value);
  }

  u16(value: number): void {
    this.#room(2).setUint16(this.#last, value, true);
  }

  i16(value: number): void {
    this.#room(2).setInt16(this.#last, value, true);
  }

  u32(value: number): void {
    this.#room(4).setUint32(this.#last, value, true);
  }

  i64(value: number): void {
    this.#room(8).setBigInt64(this.#last, BigInt(Math.round(value)), true);
  }

  f32(value: number): void {
    this.#room(4).setFloat32(this.#last, value, true);
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#last);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#at);
  }

  /** Makes room at `#last` and gives the view of the buffer as it is then. */
  #room(length: number): DataView {
    this.#last = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#at, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return this.#view;
  }
}
