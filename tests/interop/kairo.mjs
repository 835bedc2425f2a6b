// A client of the Kairo wire protocol (version 1), written from its specification alone.
//
//   const kairo = await KairoClient.connect('/tmp/kairo-kernel.sock');
//   const session = await kairo.request('process.spawn', { command: ['echo', 'hello'] });
//   const output = kairo.output(session.subscriptionId, 'stdout');
//   await output.ended;                       // output.bytes is what the process wrote
//   const ended = await kairo.request('process.wait', { id: session.id });
//
// Requests may be pipelined; everything that arrives is kept in `log` in the order of its arrival.
import net from 'node:net';
import { EventEmitter } from 'node:events';
import { decode, encode } from '@msgpack/msgpack';

export const MAGIC = 0x4b41;
export const VERSION = 1;
export const HEAD_BYTES = 8;
export const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
export const MAX_DEPTH = 32;
export const FrameType = Object.freeze({ request: 1, response: 2, event: 3, stream_chunk: 4 });
const typeNames = new Map(Object.entries(FrameType).map(([name, number]) => [number, name]));

/** Bytes that break the protocol; `stage` is "head" or "payload". */
export class FrameError extends Error {
  constructor(stage, message) {
    super(message);
    this.name = 'FrameError';
    this.stage = stage;
  }
}

/** The `error` of a RESPONSE. */
export class KairoError extends Error {
  constructor({ code, message, details = {} }) {
    super(`${code}: ${message}`);
    this.name = 'KairoError';
    this.code = code;
    this.details = details;
  }
}

/** Puts a head before payload bytes. */
export function frame(type, payload) {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt16BE(MAGIC, 0);
  head.writeUInt8(VERSION, 2);
  head.writeUInt8(typeof type === 'string' ? FrameType[type] : type, 3);
  head.writeUInt32BE(payload.length, 4);
  return Buffer.concat([head, payload]);
}

/**
 * One whole frame of a type ("request", ...) and a payload map. Members that are undefined are left out. BigInts go as
 * 64-bit integers, whole numbers beyond 32 bits as floats.
 */
export function encodeFrame(type, payload) {
  return frame(type, encode(payload, { ignoreUndefined: true, useBigInt64: true }));
}

/** Levels of arrays and maps, found without recursion. */
function depthOf(value) {
  let deepest = 0;
  const open = [[value, 1]];
  while (open.length > 0) {
    const [each, depth] = open.pop();
    if (each === null || typeof each !== 'object' || ArrayBuffer.isView(each)) continue;
    if (depth > deepest) deepest = depth;
    if (deepest > MAX_DEPTH) break;
    for (const member of Array.isArray(each) ? each : Object.values(each)) open.push([member, depth + 1]);
  }
  return deepest;
}

/** The map in a payload; integers beyond 2^53 are BigInts. */
export function decodePayload(bytes) {
  let value;
  try {
    value = decode(bytes, { useBigInt64: true });
  } catch (error) {
    throw new FrameError('payload', `unreadable payload: ${error.message}`);
  }
  const isMap = value !== null && typeof value === 'object' && !Array.isArray(value) && !ArrayBuffer.isView(value);
  if (!isMap) throw new FrameError('payload', 'a payload must be a map');
  if (depthOf(value) > MAX_DEPTH) throw new FrameError('payload', `nested deeper than ${MAX_DEPTH}`);
  return narrowed(value);
}

/** BigInts that a number can hold become numbers. */
function narrowed(value) {
  if (typeof value === 'bigint')
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(narrowed);
  for (const key of Object.keys(value)) value[key] = narrowed(value[key]);
  return value;
}

/** Takes bytes as they come, gives whole frames. */
export class FrameReader {
  #parts = [];
  #size = 0;

  /** Frames that are complete now: `{type, payload}`, the payload still as bytes. Throws FrameError. */
  push(bytes) {
    if (bytes.length > 0) this.#parts.push(bytes);
    this.#size += bytes.length;
    const frames = [];
    while (this.#size >= HEAD_BYTES) {
      this.#gather(HEAD_BYTES);
      const { type, length } = this.#head();
      if (this.#size < HEAD_BYTES + length) break;
      this.#gather(HEAD_BYTES + length);
      const first = this.#parts[0];
      frames.push({ type, payload: first.subarray(HEAD_BYTES, HEAD_BYTES + length) });
      this.#parts[0] = first.subarray(HEAD_BYTES + length);
      if (this.#parts[0].length === 0) this.#parts.shift();
      this.#size -= HEAD_BYTES + length;
    }
    return frames;
  }

  /** Makes the first part at least `size` bytes long. */
  #gather(size) {
    if (this.#parts[0].length >= size) return;
    let count = 0;
    for (let have = 0; have < size; ++count) have += this.#parts[count].length;
    this.#parts.splice(0, count, Buffer.concat(this.#parts.slice(0, count)));
  }

  #head() {
    const head = this.#parts[0];
    if (head.readUInt16BE(0) !== MAGIC) throw new FrameError('head', 'bad magic');
    if (head.readUInt8(2) !== VERSION) throw new FrameError('head', `version ${head.readUInt8(2)} is not known`);
    const type = typeNames.get(head.readUInt8(3));
    if (type === undefined) throw new FrameError('head', `frame type ${head.readUInt8(3)} is not known`);
    const length = head.readUInt32BE(4);
    if (length > MAX_PAYLOAD_BYTES) throw new FrameError('head', `a payload of ${length} bytes is too long`);
    return { type, length };
  }
}

/** The bytes that a chunk or the answer to process.read carries. */
export function chunkBytes({ encoding, chunk }) {
  switch (encoding) {
    case 'utf8':
      return Buffer.from(chunk, 'utf8');
    case 'base64':
      return Buffer.from(chunk, 'base64');
    case 'binary':
      return Buffer.from(chunk);
    default:
      throw new Error(`encoding ${encoding} is not known`);
  }
}

/** What one subscription has had of one stream. Checks the promises of numbering as the chunks arrive. */
export class Output {
  chunks = [];
  parts = [];
  received = 0;
  dropped = 0;
  start = undefined;
  next = undefined;
  ended;
  #resolve;
  #reject;

  constructor() {
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ended.catch(() => {});
  }

  get bytes() {
    return Buffer.concat(this.parts);
  }
  get text() {
    return this.bytes.toString('utf8');
  }

  fail(error) {
    this.#reject(error);
  }

  add(chunk) {
    const bytes = chunkBytes(chunk);
    const dropped = chunk.dropped ?? 0;
    const problem = this.#problem(chunk, bytes, dropped);
    if (problem) {
      const { chunk: _, ...head } = chunk;
      this.#reject(new Error(`${problem}: ${JSON.stringify(head)}`));
      return;
    }
    if (this.start === undefined) this.start = chunk.offset - dropped;
    this.chunks.push({ ...chunk, bytes });
    this.parts.push(bytes);
    this.received += bytes.length;
    this.dropped += dropped;
    this.next = chunk.offset + bytes.length;
    if (chunk.eof === true) this.#resolve(this);
  }

  #problem(chunk, bytes, dropped) {
    if (this.chunks.at(-1)?.eof === true) return 'a chunk after eof';
    if (chunk.seq !== this.chunks.length) return `seq should be ${this.chunks.length}`;
    if (this.next !== undefined && chunk.offset !== this.next + dropped)
      return `offset should be ${this.next} and what was dropped`;
    if (chunk.encoding === 'utf8' && chunk.chunk.includes('\ufffd') && !bytes.includes('\ufffd'))
      return 'utf8 that is none';
    return undefined;
  }
}

export class KairoClient extends EventEmitter {
  /** Everything that arrived: `{kind: "response"|"event"|"stream_chunk", ...payload}`. */
  log = [];
  closed;
  #socket;
  #reader = new FrameReader();
  #pending = new Map();
  #nextId = 1;
  #outputs = new Map();
  #watchers = new Set();
  #end = undefined;

  static connect(path) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new KairoClient(socket));
      });
    });
  }

  constructor(socket) {
    super();
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.on('close', () => this.#finish(new Error('the connection is closed')));
    socket.on('data', (bytes) => {
      try {
        for (const each of this.#reader.push(bytes)) this.#take(each.type, decodePayload(each.payload));
      } catch (error) {
        this.#finish(error);
        socket.destroy();
      }
    });
  }

  /** Sends a request; resolves with its result or rejects with a KairoError. */
  request(method, params, { id = this.#nextId++, correlationId, causationId } = {}) {
    const answer = this.expect(id);
    this.sendRaw(encodeFrame('request', { id, method, params, correlationId, causationId }));
    return answer;
  }

  /** The answer to the request `id`, for requests that were sent as raw bytes. */
  expect(id) {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end);
      this.#pending.set(id, { resolve, reject });
    });
  }

  sendEvent(event) {
    this.sendRaw(encodeFrame('event', event));
  }

  /** Resolves once the bytes are handed to the system. */
  sendRaw(bytes) {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
  }

  /** What a subscription has had of "stdout" or "stderr". */
  output(subscriptionId, stream) {
    const key = `${subscriptionId} ${stream}`;
    let output = this.#outputs.get(key);
    if (!output) {
      output = new Output();
      if (this.#end) output.fail(this.#end);
      this.#outputs.set(key, output);
    }
    return output;
  }

  /** Lets go of what a subscription has had, and of the log so far. */
  forgetOutput(subscriptionId) {
    for (const stream of ['stdout', 'stderr']) this.#outputs.delete(`${subscriptionId} ${stream}`);
    this.log.length = 0;
  }

  /**
   * The first thing in the log, from index `from` on, for which `matches` holds; waits for it. `timeoutMs` bounds a
   * test that has failed.
   */
  first(matches, { from = 0, what = 'what was waited for', timeoutMs = 60_000 } = {}) {
    for (let i = from; i < this.log.length; ++i) if (matches(this.log[i], i)) return Promise.resolve(this.log[i]);
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const watcher = { matches, resolve, reject, timer: undefined };
      watcher.timer = setTimeout(() => {
        this.#watchers.delete(watcher);
        reject(new Error(`${what} did not arrive within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#watchers.add(watcher);
    });
  }

  /** The first event of a type about a process (of any when `processId` is undefined). */
  event(type, processId, options = {}) {
    return this.first(
      (each) =>
        each.kind === 'event' &&
        each.type === type &&
        (processId === undefined || each.data.processId === processId),
      { what: `${type} of ${processId ?? 'any process'}`, ...options },
    );
  }

  /** Stops reading, so that the kernel's buffer of this connection fills. */
  pause() {
    this.#socket.pause();
  }
  resume() {
    this.#socket.resume();
  }

  close() {
    this.#socket.destroy();
    return this.closed;
  }

  #take(type, payload) {
    const item = { kind: type, ...payload };
    this.log.push(item);
    if (type === 'response') this.#answer(payload);
    if (type === 'stream_chunk') this.output(payload.subscriptionId, payload.stream).add(payload);
    for (const watcher of [...this.#watchers])
      if (watcher.matches(item, this.log.length - 1)) {
        clearTimeout(watcher.timer);
        this.#watchers.delete(watcher);
        watcher.resolve(item);
      }
    this.emit(type, payload);
  }

  #answer({ id, result, error }) {
    const waiting = this.#pending.get(id);
    if (!waiting) return;
    this.#pending.delete(id);
    if (error) waiting.reject(new KairoError(error));
    else waiting.resolve(result);
  }

  #finish(error) {
    if (this.#end) return;
    this.#end = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    for (const watcher of this.#watchers) {
      clearTimeout(watcher.timer);
      watcher.reject(error);
    }
    this.#watchers.clear();
    for (const output of this.#outputs.values()) output.fail(error);
  }
}
