// The wire against a real daemon: answers, wrong requests, broken frames.
import assert from 'node:assert/strict';
import { kairoTest, refused, start } from './harness.mjs';
import { FrameType, HEAD_BYTES, encodeFrame, frame } from './kairo.mjs';

kairoTest('ping, info and introspect describe the kernel', async ({ client, daemon }) => {
  assert.equal((await client.request('kernel.ping')).pong, true);
  const info = await client.request('kernel.info', {});
  assert.equal(info.protocolVersion, 1);
  assert.equal(info.pid, daemon.pid);
  assert.equal(info.socket, daemon.socket);
  assert.ok(info.uptimeMs >= 0);
  const { methods } = await client.request('kernel.introspect', {});
  const names = methods.map(({ name }) => name);
  const wanted =
    'kernel.ping kernel.info kernel.introspect kernel.stop kernel.upgrade identify process.spawn process.status process.list process.wait ' +
    'process.kill process.pause process.resume process.cancel process.forget process.stdin.write ' +
    'process.stdin.close process.attach process.detach process.credit process.read event.subscribe ' +
    'event.unsubscribe event.publish system.get_metrics device.list device.claim device.release kernel.metrics';
  for (const name of wanted.split(' ')) assert.ok(names.includes(name), `${name} is described`);
  for (const { name, params, result } of methods)
    for (const schema of [params, result]) assert.equal(schema.type, 'object', `${name} has schemas of objects`);
});

kairoTest('metrics and devices are real', async ({ client }) => {
  const metrics = await client.request('system.get_metrics', {});
  assert.ok(metrics.memory.totalBytes > 0);
  assert.ok(metrics.cpu.cores > 0);
  assert.equal(metrics.daemon.pid, (await client.request('kernel.info', {})).pid);
  assert.ok(metrics.daemon.residentBytes > 0);
  const { devices } = await client.request('device.list', { subsystem: 'mem' });
  assert.ok(devices.some(({ node }) => node === '/dev/null'));
  assert.equal(new Set(devices.map(({ id }) => id)).size, devices.length);
});

kairoTest('an answer bears its request’s id, number or text', async ({ client }) => {
  for (const id of [0, 7_000_000_000n, 'text', '', 2 ** 31]) {
    const number = typeof id === 'bigint' ? Number(id) : id;
    const answer = client.expect(number);
    client.sendRaw(encodeFrame('request', { id, method: 'kernel.ping' }));
    assert.equal((await answer).pong, true);
  }
});

kairoTest('requests that are pipelined are all answered', async ({ client }) => {
  const frames = [];
  const answers = [];
  for (let id = 1; id <= 5000; ++id) {
    answers.push(client.expect(`p${id}`));
    frames.push(encodeFrame('request', { id: `p${id}`, method: 'kernel.ping', params: {} }));
  }
  client.sendRaw(Buffer.concat(frames));
  assert.equal((await Promise.all(answers)).length, 5000);
});

kairoTest('a method that is not known is named in the error', async ({ client }) => {
  const error = await refused(client.request('process.spwan', {}), 'E_UNKNOWN_METHOD');
  assert.ok(error.message.includes('process.spwan'), error.message);
});

kairoTest('a wrong parameter is told by its path', async ({ client }) => {
  const attempts = [
    ['process.spawn', { command: 'echo' }, 'params.command'],
    ['process.spawn', {}, 'params.command'],
    ['process.spawn', { command: ['echo', 1] }, 'params.command[1]'],
    ['process.spawn', { command: ['echo'], options: { umask: 'x' } }, 'params.options.umask'],
    ['process.spawn', { command: ['echo'], options: { stdin: 'file' } }, 'params.options.stdin'],
    ['process.spawn', { command: ['echo'], options: { output: { retainBytes: -1 } } }, 'params.options.output.retainBytes'],
    ['process.spawn', { command: ['echo'], options: { env: { A: 1 } } }, 'params.options.env.A'],
    ['process.wait', { id: 'x', timeoutMs: -5 }, 'params.timeoutMs'],
    ['process.wait', { id: 'x', timeoutMs: 1.5 }, 'params.timeoutMs'],
    ['process.wait', { id: 'x', timeoutMs: 365 * 86_400_000 + 1 }, 'params.timeoutMs'],
    ['process.wait', { id: null }, 'params.id'],
    ['process.kill', { id: 'x', escalateAfterMs: 86_400_001 }, 'params.escalateAfterMs'],
    ['process.cancel', { id: 'x', graceMs: 86_400_001 }, 'params.graceMs'],
    ['process.list', { limit: 0 }, 'params.limit'],
    ['process.list', { limit: 501 }, 'params.limit'],
    ['process.spawn', { command: ['echo'], options: { killGraceMs: 86_400_001 } }, 'params.options.killGraceMs'],
  ];
  for (const [method, params, path] of attempts) {
    const error = await refused(client.request(method, params), 'E_INVALID_PARAMS');
    assert.equal(error.details.path, path, `${method} ${JSON.stringify(params)}: ${error.message}`);
  }
});

kairoTest('an unknown field is an error that suggests the nearest name', async ({ client }) => {
  const error = await refused(client.request('process.wait', { id: 'x', timeoutMS: 5 }), 'E_INVALID_PARAMS');
  assert.equal(error.details.path, 'params.timeoutMS');
  assert.ok(error.message.includes('timeoutMs'), error.message);
  const nested = await refused(
    client.request('process.spawn', { command: ['true'], options: { kilGraceMs: 5 } }),
    'E_INVALID_PARAMS',
  );
  assert.equal(nested.details.path, 'params.options.kilGraceMs');
  assert.ok(nested.message.includes('killGraceMs'), nested.message);
  assert.deepEqual((await client.request('process.list', {})).sessions, []);
});

kairoTest('a whole number that JavaScript packs as a float is taken as the integer it is', async ({ client }) => {
  const { id } = await start(client, ['true'], { timeoutMs: 2 ** 33 });
  assert.equal((await client.request('process.wait', { id, timeoutMs: 2 ** 33 })).exitCode, 0);
});

kairoTest('a well-formed map with bad content is answered, and the connection goes on', async ({ client }) => {
  const attempts = [
    { id: 900, method: 5 },
    { id: 900 },
    { id: 900, method: 'kernel.ping', params: [] },
    { id: 900, method: 'kernel.ping', correlationId: 5 },
  ];
  for (const payload of attempts) {
    const answer = client.expect(900);
    client.sendRaw(encodeFrame('request', payload));
    await refused(answer, ['E_INVALID_REQUEST', 'E_INVALID_PARAMS']);
  }
  assert.equal((await client.request('kernel.ping', {})).pong, true);
});

kairoTest('a broken frame closes its connection and touches nothing else', async ({ client, connect }) => {
  const good = encodeFrame('request', { id: 1, method: 'kernel.ping' });
  const changed = (at, ...bytes) => {
    const copy = Buffer.from(good);
    copy.set(bytes, at);
    return copy;
  };
  const broken = {
    'bad magic': changed(0, 0x4b, 0x42),
    'text': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    'version 2': changed(2, 2),
    'type 0': changed(3, 0),
    'type 5': changed(3, 5),
    'a head that claims 4 GiB': changed(4, 0xff, 0xff, 0xff, 0xff).subarray(0, HEAD_BYTES),
    'a head just over the limit': changed(4, 0x01, 0x00, 0x00, 0x01).subarray(0, HEAD_BYTES),
    'an empty payload': frame(FrameType.request, Buffer.alloc(0)),
    'a nil payload': frame(FrameType.request, Buffer.from([0xc0])),
    'an array': frame(FrameType.request, Buffer.from([0x91, 0x01])),
    'a map cut short': frame(FrameType.request, Buffer.from([0x82, 0xa2, 0x69, 0x64, 0x01])),
    'a byte behind the map': frame(FrameType.request, Buffer.concat([good.subarray(HEAD_BYTES), Buffer.from([0x00])])),
    'a map of 4 Gi members': frame(FrameType.request, Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff])),
    'an array of 4 Gi elements': frame(FrameType.request, Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])),
    'a byte that MsgPack never uses': frame(FrameType.request, Buffer.from([0x81, 0xa1, 0x61, 0xc1])),
    '33 levels': frame(
      FrameType.request,
      Buffer.concat([Buffer.from([0x81, 0xa1, 0x61]), Buffer.alloc(32, 0x91), Buffer.from([0xc0])]),
    ),
    '200,000 nested arrays': frame(FrameType.request, Buffer.concat([Buffer.alloc(200_000, 0x91), Buffer.from([0xc0])])),
  };
  const { id } = await start(client, ['cat']);
  for (const [name, bytes] of Object.entries(broken)) {
    const victim = await connect();
    victim.sendRaw(bytes);
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`${name} did not close the connection`)), 30_000).unref();
    });
    await Promise.race([victim.closed, late]);
    assert.equal((await client.request('kernel.ping', {})).pong, true, `after ${name}`);
  }
  assert.equal((await client.request('process.status', { id })).status, 'running');
});

kairoTest('32 levels are not too many', async ({ client }) => {
  let data = 1;
  for (let level = 0; level < 30; ++level) data = [data];
  await client.request('event.subscribe', { topic: 'deep.>' });
  await client.request('event.publish', { type: 'deep.est', data });
  assert.deepEqual((await client.event('deep.est')).data, data);
});

kairoTest('a frame may arrive in two pieces, cut at any byte', async ({ connect }) => {
  const client = await connect();
  const bytes = encodeFrame('request', { id: 'cut', method: 'kernel.ping', params: {} });
  for (let cut = 1; cut < bytes.length; ++cut) {
    const answer = client.expect('cut');
    await client.sendRaw(bytes.subarray(0, cut));
    await new Promise((resolve) => setImmediate(resolve));
    client.sendRaw(bytes.subarray(cut));
    assert.equal((await answer).pong, true);
  }
});

kairoTest('a frame may arrive byte by byte, and two in one piece', async ({ client }) => {
  const bytes = encodeFrame('request', { id: 'slow', method: 'kernel.ping', params: {} });
  const slow = client.expect('slow');
  for (const byte of bytes) await client.sendRaw(Buffer.from([byte]));
  assert.equal((await slow).pong, true);
  const both = [client.expect('slow'), client.expect('two')];
  client.sendRaw(Buffer.concat([bytes, encodeFrame('request', { id: 'two', method: 'kernel.ping' })]));
  assert.equal((await Promise.all(both)).length, 2);
});

kairoTest('a client that dies in the middle of anything leaves the daemon well', async ({ client, connect }) => {
  const spawn = encodeFrame('request', { id: 1, method: 'process.spawn', params: { command: ['cat'] } });
  for (let cut = 0; cut <= spawn.length; cut += 7) {
    const dying = await connect();
    await dying.sendRaw(spawn.subarray(0, cut));
    await dying.close();
  }
  const dying = await connect();
  const { id } = await start(dying, ['cat']);
  dying.sendRaw(encodeFrame('request', { id: 2, method: 'process.stdin.write', params: { id, data: 'x'.repeat(100_000) } }).subarray(0, 50_000));
  await dying.close();
  assert.equal((await client.request('process.status', { id })).status, 'running');
});

kairoTest('a subscriber that goes away in the middle of its output leaves the process and the others well', async ({
  client,
  connect,
}) => {
  const { id } = await start(client, ['sh', '-c', 'read go; yes | head -c 4000000'], { subscribe: false });
  const dying = await connect();
  const { subscriptionId } = await dying.request('process.attach', { id, flow: 'lossless' });
  await client.request('process.stdin.write', { id, data: 'go\n' });
  await dying.first(() => dying.output(subscriptionId, 'stdout').received > 0, { what: 'output' });
  await dying.close();
  const ended = await client.request('process.wait', { id });
  assert.equal(ended.exitCode, 0);
  assert.equal(ended.streams.stdout.bytes, 4_000_000);
});
