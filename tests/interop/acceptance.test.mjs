// The acceptance list of the seed (Kernel Primitives, section 9), one test or more for each of its lines.
import assert from 'node:assert/strict';
import { kairoTest, start, testChild, assertSameBytes } from './harness.mjs';

kairoTest('a short command gives spawned and exited with its exit code', async ({ client }) => {
  const session = await start(client, ['echo', 'hello']);
  const spawned = await client.event('kairo.process.spawned', session.id);
  const exited = await client.event('kairo.process.exited', session.id);
  assert.equal(spawned.data.pid, session.pid);
  assert.deepEqual(spawned.data.argv, ['echo', 'hello']);
  assert.equal(typeof spawned.data.cwd, 'string');
  assert.equal(exited.data.exitCode, 0);
  assert.equal(exited.data.status, 'exited');
  assert.equal(exited.data.signal, undefined);
  assert.equal(exited.data.outcome.reason, 'exited');
  await session.stdout.ended;
  assert.equal(session.stdout.text, 'hello\n');
});

kairoTest('a failing command gives its exit code in the event, the wait and the status', async ({ client }) => {
  const session = await start(client, testChild('exit', 7));
  const exited = await client.event('kairo.process.exited', session.id);
  const waited = await client.request('process.wait', { id: session.id });
  const status = await client.request('process.status', { id: session.id });
  assert.deepEqual([exited.data.exitCode, waited.exitCode, status.exitCode], [7, 7, 7]);
  assert.equal(status.status, 'exited');
});

kairoTest('yes piped into head arrives as chunks, whole and in order', async ({ client }) => {
  const session = await start(client, ['sh', '-c', 'yes | head -n 1000']);
  await session.stdout.ended;
  assertSameBytes(session.stdout.bytes, Buffer.from('y\n'.repeat(1000)));
  assert.equal(session.stdout.dropped, 0);
  for (const chunk of session.stdout.chunks) assert.equal(chunk.processId, session.id);
});

kairoTest('256 MiB of output do not grow the daemon', async ({ client }) => {
  const total = 256 * 1024 * 1024;
  const before = (await client.request('system.get_metrics', {})).daemon;
  const session = await start(client, testChild('spew', total), { output: { retainBytes: 1024 * 1024 } });
  await session.stdout.ended;
  const after = (await client.request('system.get_metrics', {})).daemon;
  assert.equal(session.stdout.received + session.stdout.dropped, total);
  const grown = after.privateBytes - before.privateBytes;
  assert.ok(grown < 16 * 1024 * 1024, `private memory grew by ${grown} bytes`);
});

kairoTest('what is written to the stdin of cat comes back', async ({ client }) => {
  const session = await start(client, ['cat']);
  const wrote = await client.request('process.stdin.write', { id: session.id, data: 'grüße\n' });
  assert.deepEqual(wrote, { written: 8, offset: 8 });
  await client.first(() => session.stdout.received === 8, { what: 'the echo' });
  assert.equal(session.stdout.text, 'grüße\n');
  await client.request('process.stdin.close', { id: session.id });
  const ended = await client.request('process.wait', { id: session.id });
  assert.equal(ended.exitCode, 0);
  await client.event('kairo.process.stdin.closed', session.id);
});

kairoTest('a cancel ends the process and gives canceled, then exited', async ({ client }) => {
  const session = await start(client, ['sleep', '1000']);
  await client.request('process.cancel', { id: session.id, reason: 'no longer needed' });
  const exited = await client.event('kairo.process.exited', session.id);
  const canceled = await client.event('kairo.process.canceled', session.id);
  assert.ok(client.log.indexOf(canceled) < client.log.indexOf(exited), 'canceled comes first');
  assert.equal(canceled.data.reason, 'no longer needed');
  assert.ok(canceled.data.by.startsWith(`user:${process.getuid()}`), `by ${canceled.data.by}`);
  assert.equal(exited.data.status, 'killed');
  assert.equal(exited.data.signal, 'SIGTERM');
  assert.equal(exited.data.exitCode, undefined);
  assert.equal(exited.data.outcome.reason, 'canceled');
  assert.equal(exited.data.outcome.by, canceled.data.by);
});

kairoTest('a cancel event reaches every process of its correlation id and no other', async ({ client }) => {
  const envelope = { correlationId: 'job-17' };
  const first = await start(client, ['sleep', '1000'], {}, { envelope });
  const second = await start(client, testChild('ignore-term'), { killGraceMs: 50 }, { envelope });
  const other = await start(client, ['sleep', '1000'], {}, { envelope: { correlationId: 'job-18' } });
  await client.first(() => second.stdout.text === 'ready\n', { what: 'the second process' });
  client.sendEvent({
    type: 'kairo.cancel',
    data: { targetCorrelationId: 'job-17', reason: 'the job was withdrawn' },
  });
  for (const session of [first, second]) {
    const canceled = await client.event('kairo.process.canceled', session.id);
    assert.equal(canceled.data.reason, 'the job was withdrawn');
    const exited = await client.event('kairo.process.exited', session.id);
    assert.equal(exited.data.outcome.reason, 'canceled');
  }
  assert.equal((await client.request('process.wait', { id: second.id })).signal, 'SIGKILL');
  assert.equal((await client.request('process.status', { id: other.id })).status, 'running');
});

kairoTest('events and output go to the connection that spawned, and to no other', async ({ client, connect }) => {
  const other = await connect();
  const session = await start(client, ['echo', 'mine']);
  await client.event('kairo.process.exited', session.id);
  await other.request('process.wait', { id: session.id });
  await other.request('kernel.ping', {});
  assert.deepEqual(other.log.filter((each) => each.kind !== 'response'), []);
});
