// The byte-exact examples in tests/vectors, checked by a codec that shares nothing with the daemon's.
// Environment: KAIRO_VECTORS is that directory.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { FrameError, FrameReader, decodePayload, encodeFrame } from './kairo.mjs';

const directory = process.env.KAIRO_VECTORS;
assert.ok(directory, 'KAIRO_VECTORS must be set to the directory of the vectors');
const index = JSON.parse(fs.readFileSync(path.join(directory, 'index.json'), 'utf8'));
assert.equal(index.format, 1);
assert.ok(index.vectors.length > 0, 'there are vectors');

/** Marks a whole number that is to be a float; the codec itself packs it as an integer while it fits 32 bits. */
class Float {
  constructor(value) {
    this.value = value;
  }
}

function bytesOf(name) {
  const text = fs.readFileSync(path.join(directory, `${name}.hex`), 'utf8').replace(/#.*$/gm, '').replace(/\s+/g, '');
  assert.match(text, /^([0-9a-fA-F]{2})*$/, `${name}.hex holds whole bytes`);
  return Buffer.from(text, 'hex');
}

/** The value that JSON stands for; `whole(text)` makes a large integer, `float(number)` a float. */
function valueOf(json, make) {
  if (Array.isArray(json)) return json.map((each) => valueOf(each, make));
  if (json === null || typeof json !== 'object') {
    const isLong = Number.isInteger(json) && (json > 0xffffffff || json < -0x80000000);
    return isLong ? make.whole(String(json)) : json;
  }
  const keys = Object.keys(json);
  if (keys.length === 1) {
    if (keys[0] === '$bin') return new Uint8Array(Buffer.from(json.$bin, 'hex'));
    if (keys[0] === '$int') return make.whole(json.$int);
    if (keys[0] === '$float') return make.float(json.$float);
  }
  return Object.fromEntries(Object.entries(json).map(([key, each]) => [key, valueOf(each, make)]));
}

const asReceived = {
  whole: (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text)),
  float: (number) => number,
};
const asSent = {
  whole: (text) => BigInt(text),
  float: (number) => {
    // A float that this codec would write as an integer cannot be checked by encoding.
    const isShort = Number.isInteger(number) && number <= 0xffffffff && number >= -0x80000000;
    return isShort ? new Float(number) : number;
  },
};

function holdsShortFloat(value) {
  if (value instanceof Float) return true;
  return value !== null && typeof value === 'object' && Object.values(value).some(holdsShortFloat);
}

/** Bytes that the decoder gives as Buffers or as plain arrays of bytes, made alike. */
function plain(value) {
  if (ArrayBuffer.isView(value)) return { $bin: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

function framesOf(pieces) {
  const reader = new FrameReader();
  return pieces
    .flatMap((piece) => reader.push(piece))
    .map(({ type, payload }) => ({ type, payload: plain(decodePayload(payload)) }));
}

/** How the reader may get the bytes: at once, byte by byte, and cut in two at every place. */
function* splits(bytes) {
  yield [bytes];
  yield Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
  const step = Math.max(1, Math.floor(bytes.length / 512));
  for (let cut = 1; cut < bytes.length; cut += step) yield [bytes.subarray(0, cut), bytes.subarray(cut)];
}

const checks = {
  frame(name, vector, bytes) {
    const wanted = [{ type: vector.type, payload: plain(valueOf(vector.payload, asReceived)) }];
    for (const pieces of splits(bytes)) assert.deepEqual(framesOf(pieces), wanted);
    const sent = valueOf(vector.payload, asSent);
    if (vector.canonical && !holdsShortFloat(sent))
      assert.equal(encodeFrame(vector.type, sent).toString('hex'), bytes.toString('hex'));
  },
  stream(name, vector, bytes) {
    const wanted = vector.frames.map(({ type, payload }) => ({ type, payload: plain(valueOf(payload, asReceived)) }));
    for (const pieces of splits(bytes)) assert.deepEqual(framesOf(pieces), wanted);
  },
  refused(name, vector, bytes) {
    if (vector.stage === 'head') {
      assert.throws(() => new FrameReader().push(bytes.subarray(0, 8)), (error) => error.stage === 'head');
      return;
    }
    assert.equal(vector.stage, 'payload');
    const parts = [bytes];
    if (vector.bytes) {
      const { repeat, times, after = '' } = vector.bytes;
      parts.push(Buffer.alloc(times * (repeat.length / 2), repeat, 'hex'), Buffer.from(after, 'hex'));
    }
    const [got, ...more] = new FrameReader().push(Buffer.concat(parts));
    assert.ok(got, 'the frame is whole');
    assert.deepEqual(more, []);
    assert.throws(() => decodePayload(got.payload), (error) => error instanceof FrameError && error.stage === 'payload');
  },
};

for (const name of index.vectors) {
  const vector = JSON.parse(fs.readFileSync(path.join(directory, `${name}.json`), 'utf8'));
  test(`${name}: ${vector.text}`, () => {
    const check = checks[vector.kind];
    assert.ok(check, `kind ${vector.kind} is known`);
    check(name, vector, bytesOf(name));
  });
}
