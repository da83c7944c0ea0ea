// What the client needs of a connection; WebTransport today, WebRTC beside it later.

/** What arrives. Called in the order of arrival; a frame is called once it is there to its end. */
export interface LinkEvents {
  control(message: Uint8Array): void;
  frame(bytes: Uint8Array): void;
  datagram(bytes: Uint8Array): void;
  /** Exactly once, last. `reason` is for a person. */
  closed(reason: string): void;
}

export interface Link {
  /** Queues one control message, reliable and in order. */
  sendControl(message: Uint8Array): void;
  /** Sends one datagram, or drops it where the path is full. */
  sendDatagram(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

/** A longer control message closes the connection. */
export const MAX_CONTROL_BYTES = 65_536;
/** A longer frame is not read on. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** Cuts the control stream into messages: `u32` little-endian length, then the message. */
export class ControlSplitter {
  #rest = new Uint8Array(0);

  /** Whole messages in what has arrived so far. Throws where a length is over the limit. */
  push(chunk: Uint8Array): Uint8Array[] {
    const bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    const view = new DataView(bytes.buffer);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (bytes.length - at >= 4) {
      const length = view.getUint32(at, true);
      if (length > MAX_CONTROL_BYTES) throw new Error(`control: a message of ${length} bytes is announced`);
      if (bytes.length - at - 4 < length) break;
      messages.push(bytes.slice(at + 4, at + 4 + length));
      at += 4 + length;
    }
    this.#rest = bytes.slice(at);
    return messages;
  }
}

/** A message with its length before it. */
export function frameControl(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(4 + message.length);
  new DataView(out.buffer).setUint32(0, message.length, true);
  out.set(message, 4);
  return out;
}
