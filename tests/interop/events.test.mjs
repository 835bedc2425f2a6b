// Events: topics, publishing, correlation, and who may act on what.
import assert from 'node:assert/strict';
import { kairoTest, refused, start, testChild } from './harness.mjs';

/** The events that a subscription has had. */
const eventsOf = (client, subscriptionId) =>
  client.log.filter((each) => each.kind === 'event' && each.subscriptionId === subscriptionId);

kairoTest('an event that is published reaches who subscribed to its topic', async ({ client, connect }) => {
  const reader = await connect();
  const { subscriptionId } = await reader.request('event.subscribe', { topic: 'build.*.done' });
  await client.request('event.publish', { type: 'build.web.failed', data: {} });
  await client.request('event.publish', { type: 'build.web.unit.done', data: {} });
  const data = { ok: true, count: 3, list: ['a', null, 1.5] };
  const sent = await client.request('event.publish', { type: 'build.web.done', data });
  const got = await reader.event('build.web.done');
  assert.deepEqual(got.data, data);
  assert.equal(got.id, sent.id);
  assert.equal(got.seq, sent.seq);
  assert.equal(got.subscriptionId, subscriptionId);
  assert.equal(got.source, `user:${process.getuid()}`);
  assert.match(got.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z$/);
  assert.equal(eventsOf(reader, subscriptionId).length, 1);
});

kairoTest('a pattern ending in > takes everything below', async ({ client, connect }) => {
  const reader = await connect();
  const { subscriptionId } = await reader.request('event.subscribe', { topic: 'deep.>' });
  for (const type of ['deep', 'deeper.a', 'deep.a', 'deep.a.b.c']) await client.request('event.publish', { type, data: 1 });
  await reader.event('deep.a.b.c');
  assert.deepEqual(eventsOf(reader, subscriptionId).map(({ type }) => type), ['deep.a', 'deep.a.b.c']);
});

kairoTest('events come in the order of their numbers, and unsubscribe ends them', async ({ client }) => {
  const { subscriptionId, seq } = await client.request('event.subscribe', { topic: 'n.>' });
  const count = 200;
  await Promise.all(
    Array.from({ length: count }, (_, n) => client.request('event.publish', { type: 'n.one', data: { n } })),
  );
  await client.first(() => eventsOf(client, subscriptionId).length === count, { what: 'all events' });
  const got = eventsOf(client, subscriptionId);
  assert.deepEqual(got.map(({ data }) => data.n), Array.from({ length: count }, (_, n) => n));
  assert.ok(got[0].seq > seq);
  for (let i = 1; i < count; ++i) assert.ok(got[i].seq > got[i - 1].seq);
  await client.request('event.unsubscribe', { subscriptionId });
  await client.request('event.publish', { type: 'n.after', data: {} });
  await client.request('kernel.ping', {});
  assert.equal(eventsOf(client, subscriptionId).length, count);
});

kairoTest('a subscriber sees the life of another connection’s process', async ({ client, connect }) => {
  const reader = await connect();
  const { subscriptionId } = await reader.request('event.subscribe', { topic: 'kairo.process.*' });
  const { id } = await start(client, ['true'], { subscribe: false });
  await reader.event('kairo.process.exited', id);
  const types = eventsOf(reader, subscriptionId).map(({ type }) => type);
  assert.equal(types[0], 'kairo.process.spawned');
  assert.equal(types.at(-1), 'kairo.process.exited');
  const sources = new Set(eventsOf(reader, subscriptionId).map(({ source }) => source));
  assert.deepEqual([...sources], ['kernel']);
});

kairoTest('the kernel’s own names cannot be published, save for the few that clients may', async ({ client }) => {
  for (const type of ['kairo.process.exited', 'kairo.kernel.started', 'kairo.x'])
    await refused(client.request('event.publish', { type, data: {} }), ['E_PERMISSION_DENIED', 'E_INVALID_PARAMS']);
  for (const type of ['', '.', 'a..b', 'a.', '.a', 'a.*', 'a.>'])
    await refused(client.request('event.publish', { type, data: {} }), 'E_INVALID_PARAMS');
  await client.request('event.publish', { type: 'kairo.intent.started', data: { intent: 'i-1' } });
  const { id } = await start(client, ['sleep', '1000']);
  await client.request('event.publish', { type: 'kairo.process.progress', data: { processId: id, percent: 50 } });
});

kairoTest('correlation and causation are carried into events and chunks', async ({ client }) => {
  const envelope = { correlationId: 'corr-1', causationId: 'cause-1' };
  const session = await start(client, testChild('lines', 3), {}, { envelope });
  const exited = await client.event('kairo.process.exited', session.id);
  const spawned = await client.event('kairo.process.spawned', session.id);
  assert.equal(session.correlationId, 'corr-1');
  for (const event of [spawned, exited]) {
    assert.equal(event.correlationId, 'corr-1');
    assert.equal(event.causationId, 'cause-1');
  }
  for (const chunk of session.stdout.chunks) assert.equal(chunk.correlationId, 'corr-1');
  assert.ok(session.stdout.chunks.length > 0);
  const plain = await start(client, testChild('lines', 3));
  const plainExited = await client.event('kairo.process.exited', plain.id);
  assert.equal(plainExited.correlationId, undefined);
  for (const chunk of plain.stdout.chunks) assert.equal(chunk.correlationId, undefined);
});

kairoTest('a published event carries its request’s correlation', async ({ client }) => {
  await client.request('event.subscribe', { topic: 'mine.>' });
  const envelope = { correlationId: 'corr-2', causationId: 'cause-2' };
  await client.request('event.publish', { type: 'mine.a', data: {} }, envelope);
  const got = await client.event('mine.a');
  assert.deepEqual([got.correlationId, got.causationId], ['corr-2', 'cause-2']);
});

kairoTest('identify narrows a connection to a name, and what it spawns belongs to that name', async ({ client, connect }) => {
  const uid = process.getuid();
  const [alice, bob] = [await connect(), await connect()];
  const { principal } = await alice.request('identify', { name: 'alice' });
  assert.equal(principal, `user:${uid}/alice`);
  await bob.request('identify', { name: 'bob' });
  const { id, owner } = await start(alice, ['sleep', '1000']);
  assert.equal(owner, `user:${uid}/alice`);
  for (const method of ['process.kill', 'process.cancel', 'process.attach', 'process.wait', 'process.status'])
    await refused(bob.request(method, { id }), ['E_PERMISSION_DENIED', 'E_NOT_FOUND']);
  assert.deepEqual((await bob.request('process.list', {})).sessions, []);
  assert.equal((await client.request('process.status', { id })).status, 'running');
  await alice.request('process.kill', { id });
  await alice.request('process.wait', { id });
});

kairoTest('a narrowed connection never gets back what it gave up', async ({ client, connect }) => {
  const { id } = await start(client, ['sleep', '1000']);
  const narrowed = await connect();
  await narrowed.request('identify', { name: 'agent' });
  await refused(narrowed.request('process.kill', { id }), ['E_PERMISSION_DENIED', 'E_NOT_FOUND']);
  await narrowed.request('identify', { name: 'other' }).catch((error) => assert.equal(error.code, 'E_PERMISSION_DENIED'));
  await refused(narrowed.request('process.kill', { id }), ['E_PERMISSION_DENIED', 'E_NOT_FOUND']);
  for (const name of ['', 'a/b', 'x'.repeat(65), 'a b']) {
    const error = await refused(client.request('identify', { name }), 'E_INVALID_PARAMS');
    assert.equal(error.details.path, 'params.name');
  }
});

kairoTest('a cancel by correlation id spares what its sender may not act on', async ({ client, connect }) => {
  const envelope = { correlationId: 'shared' };
  const stranger = await connect();
  await stranger.request('identify', { name: 'stranger' });
  const mine = await start(client, ['sleep', '1000'], {}, { envelope });
  const theirs = await start(stranger, ['sleep', '1000'], {}, { envelope });
  stranger.sendEvent({ type: 'kairo.cancel', data: { targetCorrelationId: 'shared' } });
  await stranger.event('kairo.process.exited', theirs.id);
  assert.equal((await client.request('process.status', { id: mine.id })).status, 'running');
});
