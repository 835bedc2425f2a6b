// Output: encodings, positions, flow, lines, reading by offset.
import assert from 'node:assert/strict';
import {
  assertSameBytes,
  eventually,
  kairoTest,
  pattern,
  readAll,
  refused,
  start,
  testChild,
} from './harness.mjs';
import { chunkBytes } from './kairo.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Attaches to a session; gives the outputs of its subscription. */
async function attach(client, id, params = {}) {
  const { subscriptionId } = await client.request('process.attach', { id, ...params });
  return {
    subscriptionId,
    stdout: client.output(subscriptionId, 'stdout'),
    stderr: client.output(subscriptionId, 'stderr'),
  };
}

/** A process that has ended and whose output nobody was pushed. */
async function ended(client, command, options = {}) {
  const { id } = await start(client, command, { subscribe: false, ...options });
  await client.request('process.wait', { id });
  return id;
}

/** Waits until all of a running process's output is in its log. */
function recorded(client, id, bytes) {
  return eventually(async () => {
    const { streams } = await client.request('process.status', { id });
    return streams.stdout.bytes >= bytes;
  }, `${bytes} recorded bytes`);
}

const hex = (text) => Buffer.from(text, 'utf8').toString('hex');

// --- encodings -------------------------------------------------------------------------------------

kairoTest('valid UTF-8 goes as utf8 and anything else as base64', async ({ client }) => {
  const text = await attach(client, await ended(client, testChild('bytes', hex('häß €\n'))));
  await text.stdout.ended;
  assert.equal(text.stdout.text, 'häß €\n');
  for (const chunk of text.stdout.chunks) assert.equal(chunk.encoding, 'utf8');
  const bytes = await attach(client, await ended(client, testChild('bytes', '00ff80fe0a')));
  await bytes.stdout.ended;
  assertSameBytes(bytes.stdout.bytes, Buffer.from('00ff80fe0a', 'hex'));
  assert.ok(bytes.stdout.chunks.some(({ encoding }) => encoding === 'base64'));
});

kairoTest('a subscriber can ask for base64 or binary', async ({ client }) => {
  const id = await ended(client, testChild('spew', 100_000));
  for (const encoding of ['base64', 'binary']) {
    const { stdout } = await attach(client, id, { encoding });
    await stdout.ended;
    assertSameBytes(stdout.bytes, pattern(100_000));
    for (const chunk of stdout.chunks) assert.equal(chunk.encoding, encoding);
  }
});

kairoTest('a code point is never cut by the border of a chunk', async ({ client }) => {
  for (const symbol of ['é', '€', '😀', 'aé', 'a😀bc€']) {
    const text = symbol.repeat(60);
    const id = await ended(client, testChild('bytes', hex(text)));
    for (const maxChunkBytes of [16, 17, 18, 19]) {
      const { stdout } = await attach(client, id, { maxChunkBytes });
      await stdout.ended;
      assert.equal(stdout.text, text);
      for (const chunk of stdout.chunks) {
        assert.equal(chunk.encoding, 'utf8');
        assert.ok(chunk.bytes.length <= maxChunkBytes, `a chunk of ${chunk.bytes.length} bytes`);
      }
    }
  }
});

kairoTest('a code point written in two halves arrives whole', async ({ client }) => {
  const session = await start(client, testChild('bytes', '61e2', 'await-line', 'bytes', '82ac62'));
  await recorded(client, session.id, 2);
  await client.request('kernel.ping', {});
  await client.request('process.stdin.write', { id: session.id, data: '\n' });
  await session.stdout.ended;
  assert.equal(session.stdout.text, 'a€b');
  for (const chunk of session.stdout.chunks) assert.equal(chunk.encoding, 'utf8');
});

kairoTest('a code point that the end cuts off goes as base64', async ({ client }) => {
  const { stdout } = await attach(client, await ended(client, testChild('bytes', '61e282')));
  await stdout.ended;
  assertSameBytes(stdout.bytes, Buffer.from('61e282', 'hex'));
});

// --- positions -------------------------------------------------------------------------------------

kairoTest('attach begins at the start, at the end or at an offset', async ({ client }) => {
  const session = await start(client, testChild('spew', 1000, 'await-line', 'bytes', '656e640a'), { subscribe: false });
  const { id } = session;
  await recorded(client, id, 1000);
  const fromStart = await attach(client, id);
  const fromEnd = await attach(client, id, { from: 'end' });
  const fromOffset = await attach(client, id, { from: { stdout: 990 } });
  await client.request('process.stdin.write', { id, data: '\n' });
  await Promise.all([fromStart, fromEnd, fromOffset].map(({ stdout }) => stdout.ended));
  assertSameBytes(fromStart.stdout.bytes, Buffer.concat([pattern(1000), Buffer.from('end\n')]));
  assert.equal(fromEnd.stdout.text, 'end\n');
  assert.equal(fromEnd.stdout.start, 1000);
  assertSameBytes(fromOffset.stdout.bytes, Buffer.concat([pattern(10, 990), Buffer.from('end\n')]));
  assert.equal(fromOffset.stdout.start, 990);
});

kairoTest('both streams are told apart, and one can be had alone', async ({ client }) => {
  const id = await ended(client, testChild('spew', 320, 'stdout', 'bytes', hex('error\n'), 'stderr'));
  const both = await attach(client, id);
  await Promise.all([both.stdout.ended, both.stderr.ended]);
  assertSameBytes(both.stdout.bytes, pattern(320));
  assert.equal(both.stderr.text, 'error\n');
  const one = await attach(client, id, { streams: ['stderr'] });
  await one.stderr.ended;
  await client.request('kernel.ping', {});
  assert.equal(one.stdout.chunks.length, 0);
});

kairoTest('a stream that had nothing still ends with eof', async ({ client }) => {
  const session = await start(client, ['true']);
  await Promise.all([session.stdout.ended, session.stderr.ended]);
  assert.equal(session.stdout.received, 0);
});

kairoTest('output of a program that ends at once is whole, attached before or after', async ({ client }) => {
  const size = 60 * KIB;
  const wanted = pattern(size);
  for (let round = 0; round < 250; ++round) {
    const sessions = await Promise.all(Array.from({ length: 4 }, () => start(client, testChild('spew', size))));
    for (const session of sessions) {
      await session.stdout.ended;
      assertSameBytes(session.stdout.bytes, wanted);
      const later = await attach(client, session.id);
      await later.stdout.ended;
      assertSameBytes(later.stdout.bytes, wanted);
      for (const { subscriptionId } of [session, later]) client.forgetOutput(subscriptionId);
    }
  }
});

kairoTest('a subscriber that keeps up has its last chunks before exited', async ({ client }) => {
  for (let round = 0; round < 100; ++round) {
    const session = await start(client, testChild('spew', 60 * KIB, 'stdout', 'lines', 10));
    const exited = await client.event('kairo.process.exited', session.id);
    await session.stdout.ended;
    await session.stderr.ended;
    const after = client.log.slice(client.log.indexOf(exited));
    assert.deepEqual(after.filter(({ kind, processId }) => kind === 'stream_chunk' && processId === session.id), []);
  }
});

kairoTest('detach ends a subscription at once', async ({ client }) => {
  const { id } = await start(client, testChild('await-line', 'lines', 10), { subscribe: false });
  const gone = await attach(client, id);
  const kept = await attach(client, id);
  await client.request('process.detach', { subscriptionId: gone.subscriptionId });
  await client.request('process.stdin.write', { id, data: '\n' });
  await kept.stdout.ended;
  assert.equal(gone.stdout.received, 0);
  await refused(client.request('process.detach', { subscriptionId: 'never-given' }), 'E_NOT_FOUND');
});

// --- flow ------------------------------------------------------------------------------------------

kairoTest('throttle accounts for every byte and says so once per episode', async ({ client }) => {
  const total = 8 * MIB;
  const session = await start(client, testChild('spew', total));
  await session.stdout.ended;
  const { stdout } = session;
  assert.equal(stdout.received + stdout.dropped, total);
  assert.ok(stdout.dropped > 0, 'so much at once is over the rate');
  for (const chunk of stdout.chunks) {
    assert.ok(chunk.bytes.length <= 16 * KIB, `a chunk of ${chunk.bytes.length} bytes`);
    assert.equal(chunk.truncated === true, (chunk.dropped ?? 0) > 0);
    assertSameBytes(chunk.bytes, pattern(chunk.bytes.length, chunk.offset), `the chunk at ${chunk.offset}`);
  }
  const exited = await client.event('kairo.process.exited', session.id);
  await client.event('kairo.process.output.throttled', session.id);
  const throttled = client.log.filter(({ type }) => type === 'kairo.process.output.throttled');
  const gaps = stdout.chunks.filter(({ dropped }) => dropped > 0).length;
  assert.ok(throttled.length >= 1 && throttled.length <= gaps, `${throttled.length} events for ${gaps} gaps`);
  assert.equal(throttled[0].data.processId, session.id);
  assert.equal(throttled[0].data.stream, 'stdout');
  assert.equal(throttled[0].data.subscriptionId, session.subscriptionId);
  assert.equal(exited.data.status, 'exited');
  assertSameBytes(await readAll(client, session.id, 'stdout'), pattern(total), 'what stays readable');
});

kairoTest('a throttled stream under its rate loses nothing', async ({ client }) => {
  const session = await start(client, testChild('spew', 100_000));
  await session.stdout.ended;
  assertSameBytes(session.stdout.bytes, pattern(100_000));
  assert.equal(client.log.filter(({ type }) => type === 'kairo.process.output.throttled').length, 0);
});

kairoTest('follow has everything that the log still holds, without a rate', async ({ client }) => {
  const total = 16 * MIB;
  const { stdout } = await attach(client, await ended(client, testChild('spew', total)), { encoding: 'binary' });
  await stdout.ended;
  assert.equal(stdout.dropped, 0);
  assertSameBytes(stdout.bytes, pattern(total));
});

kairoTest('a reader that the log has lapped finds what it missed in dropped', async ({ client }) => {
  const total = MIB;
  const id = await ended(client, testChild('spew', total), { output: { retainBytes: 64 * KIB } });
  const { streams } = await client.request('process.status', { id });
  const { stdout } = await attach(client, id);
  await stdout.ended;
  assert.ok(streams.stdout.firstOffset > 0);
  assert.equal(stdout.chunks[0].dropped, streams.stdout.firstOffset);
  assert.equal(stdout.start, 0);
  assert.equal(stdout.received + stdout.dropped, total);
  assertSameBytes(stdout.bytes, pattern(total - stdout.dropped, stdout.dropped));
});

kairoTest('a lossless reader that stalls holds the process back and loses nothing', async ({ client, connect }) => {
  const total = 32 * MIB;
  const reader = await connect();
  const { id } = await start(client, testChild('await-line', 'spew', total), {
    subscribe: false,
    output: { retainBytes: MIB },
  });
  const { stdout } = await attach(reader, id, { flow: 'lossless', encoding: 'binary' });
  reader.pause();
  await client.request('process.stdin.write', { id, data: '\n' });
  await recorded(client, id, MIB);
  assert.equal((await client.request('process.status', { id })).status, 'running');
  reader.resume();
  await stdout.ended;
  assert.equal(stdout.dropped, 0);
  assertSameBytes(stdout.bytes, pattern(total));
});

kairoTest('a lossless reader with credit gets as much as it has granted', async ({ client }) => {
  const total = 100_000;
  const id = await ended(client, testChild('spew', total));
  const { subscriptionId, stdout } = await attach(client, id, { flow: 'lossless', window: 1000, streams: ['stdout'] });
  for (let granted = 1000; granted < total; ) {
    await client.first(() => stdout.received >= granted, { what: `${granted} bytes` });
    await client.request('kernel.ping', {});
    assert.equal(stdout.received, granted);
    const bytes = 33_000;
    await client.request('process.credit', { subscriptionId, bytes });
    granted += bytes;
  }
  await stdout.ended;
  assertSameBytes(stdout.bytes, pattern(total));
});

kairoTest('a stalled reader delays no other reader', async ({ client, connect }) => {
  const total = 16 * MIB;
  const stalled = await connect();
  const { id } = await start(client, testChild('await-line', 'spew', total), { subscribe: false });
  const slow = await attach(stalled, id);
  stalled.pause();
  const quick = await attach(client, id, { encoding: 'binary' });
  await client.request('process.stdin.write', { id, data: '\n' });
  await quick.stdout.ended;
  assertSameBytes(quick.stdout.bytes, pattern(total));
  stalled.resume();
  await slow.stdout.ended;
  assert.equal(slow.stdout.received + slow.stdout.dropped, total);
});

kairoTest('a log that blocks when full waits for process.read to pass it', async ({ client }) => {
  const total = MIB;
  const output = { retainBytes: 64 * KIB, whenFull: 'block' };
  const { id } = await start(client, testChild('spew', total), { subscribe: false, output });
  await recorded(client, id, 64 * KIB);
  assert.equal((await client.request('process.status', { id })).status, 'running');
  assertSameBytes(await readAll(client, id, 'stdout'), pattern(total));
  assert.equal((await client.request('process.wait', { id })).exitCode, 0);
});

// --- lines -----------------------------------------------------------------------------------------

kairoTest('line mode keeps blank lines, CRLF and the unterminated last line', async ({ client }) => {
  const lines = ['a\n', '\n', '\r\n', 'b\r\n', '\n', 'last'];
  const { stdout } = await attach(client, await ended(client, testChild('bytes', hex(lines.join('')))), { mode: 'line' });
  await stdout.ended;
  const got = stdout.chunks.map(({ chunk }) => chunk).filter((text) => text !== '');
  assert.deepEqual(got, lines);
  for (const chunk of stdout.chunks) assert.equal(chunk.partial, undefined);
});

kairoTest('line mode holds a line back until it is whole', async ({ client }) => {
  const { id } = await start(client, testChild('bytes', hex('one\ntw'), 'await-line', 'bytes', hex('o\n')), {
    subscribe: false,
  });
  const { stdout } = await attach(client, id, { mode: 'line' });
  await client.first(() => stdout.received > 0, { what: 'the first line' });
  await recorded(client, id, 6);
  await client.request('kernel.ping', {});
  assert.equal(stdout.text, 'one\n');
  await client.request('process.stdin.write', { id, data: '\n' });
  await stdout.ended;
  assert.deepEqual(stdout.chunks.map(({ chunk }) => chunk).filter((text) => text !== ''), ['one\n', 'two\n']);
});

kairoTest('line mode splits an over-long line and marks its pieces as partial', async ({ client }) => {
  const text = `short\n${'x'.repeat(40)}\nnext\n`;
  const { stdout } = await attach(client, await ended(client, testChild('bytes', hex(text))), {
    mode: 'line',
    maxChunkBytes: 16,
  });
  await stdout.ended;
  assert.equal(stdout.text, text);
  const pieces = stdout.chunks.filter(({ chunk }) => chunk !== '').map(({ chunk, partial }) => [chunk, partial === true]);
  assert.deepEqual(pieces, [
    ['short\n', false],
    ['x'.repeat(16), true],
    ['x'.repeat(16), true],
    [`${'x'.repeat(8)}\n`, false],
    ['next\n', false],
  ]);
  for (const chunk of stdout.chunks) assert.equal(chunk.truncated, undefined);
});

kairoTest('line mode gives one line per chunk without gaps', async ({ client }) => {
  const { stdout } = await attach(client, await ended(client, testChild('lines', 5000)), { mode: 'line' });
  await stdout.ended;
  const got = stdout.chunks.map(({ chunk }) => chunk).filter((text) => text !== '');
  assert.deepEqual(got, Array.from({ length: 5000 }, (_, n) => `line ${n}\n`));
  assert.equal(stdout.start, 0);
});

// --- process.read ----------------------------------------------------------------------------------

kairoTest('process.read waits for a first byte and then answers', async ({ client }) => {
  const { id } = await start(client, testChild('await-line', 'bytes', hex('late\n'), 'sleep', 1000), { subscribe: false });
  const nothing = await client.request('process.read', { id, stream: 'stdout', offset: 0 });
  assert.equal(chunkBytes(nothing).length, 0);
  assert.equal(nothing.eof, false);
  assert.equal(nothing.nextOffset, 0);
  const poll = client.request('process.read', { id, stream: 'stdout', offset: 0, waitMs: 60_000 });
  await client.request('kernel.ping', {});
  await client.request('process.stdin.write', { id, data: '\n' });
  const got = await poll;
  assert.equal(chunkBytes(got).toString(), 'late\n');
  assert.deepEqual([got.offset, got.nextOffset, got.eof], [0, 5, false]);
});

kairoTest('process.read answers at most maxBytes, in the encoding asked for', async ({ client }) => {
  const id = await ended(client, testChild('spew', 100_000));
  for (const [encoding, sent] of [[undefined, 'utf8'], ['base64', 'base64'], ['binary', 'binary']]) {
    const got = await client.request('process.read', { id, stream: 'stdout', offset: 777, maxBytes: 500, encoding });
    assert.equal(got.encoding, sent);
    assertSameBytes(chunkBytes(got), pattern(500, 777));
    assert.deepEqual([got.offset, got.nextOffset, got.eof], [777, 1277, false]);
  }
  const last = await client.request('process.read', { id, stream: 'stdout', offset: 99_990 });
  assert.deepEqual([chunkBytes(last).length, last.nextOffset, last.eof], [10, 100_000, true]);
});

kairoTest('process.read says what the log no longer holds', async ({ client }) => {
  const total = MIB;
  const id = await ended(client, testChild('spew', total), { output: { retainBytes: 64 * KIB } });
  const got = await client.request('process.read', { id, stream: 'stdout', offset: 5, encoding: 'binary' });
  assert.ok(got.dropped > 0);
  assert.equal(got.offset, 5 + got.dropped);
  assertSameBytes(chunkBytes(got), pattern(got.nextOffset - got.offset, got.offset));
});

kairoTest('process.read refuses an offset beyond the end', async ({ client }) => {
  const id = await ended(client, testChild('spew', 10));
  const error = await refused(
    client.request('process.read', { id, stream: 'stdout', offset: 11 }),
    'E_INVALID_PARAMS',
  );
  assert.equal(error.details.path, 'params.offset');
});

kairoTest('process.read tells when its bytes were written', async ({ client }) => {
  const id = await ended(client, testChild('lines', 100));
  const got = await client.request('process.read', { id, stream: 'stdout', offset: 0, timestamps: true });
  assert.ok(got.times.length > 0);
  for (const { offset, time } of got.times) {
    assert.ok(offset >= 0 && offset <= got.nextOffset);
    assert.ok(Math.abs(Date.now() - Date.parse(time)) < 600_000, time);
  }
});
