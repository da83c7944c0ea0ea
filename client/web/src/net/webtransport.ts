// The link over WebTransport: one bidirectional control stream, one incoming stream per frame, datagrams.
import { ControlSplitter, frameControl, type Link, type LinkEvents, MAX_FRAME_BYTES } from "./link";

export interface WebTransportAddress {
  readonly url: string;
  /** SHA-256 of the server's certificate; `null` where the browser is to trust it by itself. */
  readonly certificateSha256: Uint8Array<ArrayBuffer> | null;
}

/** Datagrams that may wait for the path; a pose behind them would be stale. */
const MAX_DATAGRAMS_WAITING = 8;
/** A server that answers at all does so within this time. */
const CONNECT_MS = 5000;

/** Connects and opens the control stream. Rejects with words for a person. */
export async function openWebTransport(address: WebTransportAddress, events: LinkEvents): Promise<Link> {
  if (typeof WebTransport === "undefined") throw new Error("this browser has no WebTransport");
  const hash = address.certificateSha256;
  const transport = new WebTransport(address.url, {
    ...(hash ? { serverCertificateHashes: [{ algorithm: "sha-256", value: hash }] } : {}),
    congestionControl: "low-latency",
  });
  transport.closed.catch(() => {});
  const control = await within(
    CONNECT_MS,
    transport.ready.then(() => transport.createBidirectionalStream()),
  ).catch((error: unknown) => {
    transport.close();
    throw error;
  });
  return new WebTransportLink(transport, control, events);
}

class WebTransportLink implements Link {
  readonly #transport: WebTransport;
  readonly #events: LinkEvents;
  readonly #control: WritableStreamDefaultWriter<Uint8Array>;
  readonly #datagrams: WritableStreamDefaultWriter<Uint8Array>;
  #datagramsWaiting = 0;
  #closed = false;

  constructor(transport: WebTransport, control: WebTransportBidirectionalStream, events: LinkEvents) {
    this.#transport = transport;
    this.#events = events;
    this.#control = control.writable.getWriter();
    this.#datagrams = datagramWriter(transport);
    transport.closed.then(
      (info) => this.#end(info?.reason || "the connection was closed"),
      (error: unknown) => this.#end(words(error)),
    );
    this.#readControl(control.readable).catch((error: unknown) => this.#end(words(error)));
    this.#acceptFrames().catch((error: unknown) => this.#end(words(error)));
    this.#readDatagrams().catch((error: unknown) => this.#end(words(error)));
  }

  sendControl(message: Uint8Array): void {
    this.#control.write(frameControl(message)).catch((error: unknown) => this.#end(words(error)));
  }

  sendDatagram(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#closed || this.#datagramsWaiting >= MAX_DATAGRAMS_WAITING) return;
    this.#datagramsWaiting += 1;
    const done = (): void => {
      this.#datagramsWaiting -= 1;
    };
    this.#datagrams.write(bytes).then(done, done);
  }

  close(): void {
    this.#end("closed");
  }

  async #readControl(readable: ReadableStream<Uint8Array>): Promise<void> {
    const splitter = new ControlSplitter();
    for await (const chunk of read(readable)) {
      for (const message of splitter.push(chunk)) this.#events.control(message);
    }
    this.#end("the server ended the connection");
  }

  async #acceptFrames(): Promise<void> {
    for await (const stream of read<ReadableStream<Uint8Array>>(this.#transport.incomingUnidirectionalStreams)) {
      // A stream that the server resets is a frame that came too late: nothing is wrong.
      this.#readFrame(stream).catch(() => {});
    }
  }

  async #readFrame(stream: ReadableStream<Uint8Array>): Promise<void> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of read(stream)) {
      length += chunk.length;
      if (length > MAX_FRAME_BYTES) throw new Error(`a frame of more than ${MAX_FRAME_BYTES} bytes`);
      chunks.push(chunk);
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    if (!this.#closed) this.#events.frame(bytes);
  }

  async #readDatagrams(): Promise<void> {
    for await (const bytes of read<Uint8Array>(this.#transport.datagrams.readable)) this.#events.datagram(bytes);
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#transport.close();
    } catch {
      // Already closed by the other side.
    }
    this.#events.closed(reason);
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("the server did not answer")), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Reads to the end; a reader is more widely supported than iterating the stream itself. */
async function* read<T>(stream: ReadableStream<T>): AsyncGenerator<T> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** `createWritable` replaces `writable` in newer drafts. */
function datagramWriter(transport: WebTransport): WritableStreamDefaultWriter<Uint8Array> {
  const datagrams = transport.datagrams as WebTransport["datagrams"] & {
    createWritable?: () => WritableStream<Uint8Array>;
    writable?: WritableStream<Uint8Array>;
  };
  const stream = datagrams.writable ?? datagrams.createWritable?.();
  if (!stream) throw new Error("this browser's WebTransport has no datagrams");
  return stream.getWriter();
}

function words(error: unknown): string {
  return error instanceof Error && error.message ? error.message : "the connection was lost";
}
