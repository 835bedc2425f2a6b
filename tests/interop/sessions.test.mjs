// Process sessions: starting, identity, stdin, waiting, signals, and what a process inherits.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import {
  assertSameBytes,
  eventually,
  isAlive,
  kairoTest,
  pattern,
  processState,
  readAll,
  refused,
  run,
  start,
  testChild,
} from './harness.mjs';

// --- starting --------------------------------------------------------------------------------------

kairoTest('spawn answers with the whole session before its events and chunks', async ({ client }) => {
  const session = await start(client, ['cat', '-'], { labels: { job: 'a' }, cwd: '/tmp' }, { params: { id: 'my.id-1' } });
  await client.event('kairo.process.spawned', 'my.id-1');
  assert.equal(client.log[0].kind, 'response');
  assert.equal(session.id, 'my.id-1');
  assert.equal(session.processId, 'my.id-1');
  assert.deepEqual(session.argv, ['cat', '-']);
  assert.equal(session.cwd, '/tmp');
  assert.equal(session.status, 'running');
  assert.equal(session.paused, false);
  assert.deepEqual(session.labels, { job: 'a' });
  assert.equal(session.owner, `user:${process.getuid()}`);
  assert.match(session.startedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z$/);
  assert.ok(session.pid > 0);
  assert.equal(session.stdin.open, true);
  assert.deepEqual(Object.keys(session.streams).sort(), ['stderr', 'stdout']);
});

kairoTest('an id is made when none is given, and no two are alike', async ({ client }) => {
  const sessions = await Promise.all(Array.from({ length: 20 }, () => start(client, ['true'])));
  assert.equal(new Set(sessions.map(({ id }) => id)).size, 20);
  for (const { id } of sessions) assert.match(id, /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
});

kairoTest('arguments reach the program untouched', async ({ client }) => {
  const words = ['', ' ', 'a b', '$HOME', '*', '"', "'", '\\', '-x', '--', 'line\nbreak', ';true'];
  const ended = await run(client, testChild('print-args', ...words));
  assert.deepEqual(JSON.parse(ended.text), words);
});

kairoTest('a child sees descriptors 0, 1 and 2 and nothing else', async ({ client }) => {
  for (const options of [{}, { stdin: 'null' }, { stderr: 'stdout' }, { stdout: 'pipe', stderr: 'null' }])
    assert.deepEqual(JSON.parse((await run(client, testChild('list-fds'), options)).text), [0, 1, 2]);
});

kairoTest('a child starts with no signal blocked or ignored', async ({ client }) => {
  const { blocked, ignored } = JSON.parse((await run(client, testChild('sigmask'))).text);
  assert.deepEqual({ blocked, ignored }, { blocked: [], ignored: [] });
});

kairoTest('a child knows its socket, its id and its correlation id', async ({ client, daemon }) => {
  const ended = await run(client, testChild('env'), {}, { envelope: { correlationId: 'c-1' } });
  const env = JSON.parse(ended.text);
  assert.equal(env.KAIRO_IPC_SOCKET, daemon.socket);
  assert.equal(env.KAIRO_PROCESS_ID, ended.id);
  assert.equal(env.KAIRO_CORRELATION_ID, 'c-1');
  assert.equal(JSON.parse((await run(client, testChild('env'))).text).KAIRO_CORRELATION_ID, undefined);
});

kairoTest('env is added to the base, and clean leaves the daemon’s own out', async ({ client }) => {
  const added = JSON.parse((await run(client, testChild('env'), { env: { A: '1', KAIROD: 'changed' } })).text);
  assert.equal(added.A, '1');
  assert.equal(added.KAIROD, 'changed');
  assert.equal(added.KAIRO_TEST_CHILD, process.env.KAIRO_TEST_CHILD);
  const clean = JSON.parse((await run(client, testChild('env'), { env: { A: '1' }, envMode: 'clean' })).text);
  assert.equal(clean.A, '1');
  assert.equal(clean.KAIRO_TEST_CHILD, undefined);
  assert.ok(clean.PATH, 'a clean environment still has a PATH');
});

kairoTest('cwd and umask are what was asked for', async ({ client }) => {
  const ended = await run(client, testChild('cwd', 'umask'), { cwd: '/usr', umask: 0o027 });
  assert.equal(ended.text, '/usr\n0027\n');
  assert.equal(ended.cwd, '/usr');
});

kairoTest('cwd and env of ProcessConfig are taken beside command', async ({ client }) => {
  const params = { cwd: '/usr', env: { B: '2' } };
  const ended = await run(client, testChild('cwd', 'env'), {}, { params });
  const [cwd, env] = ended.text.split('\n');
  assert.equal(cwd, '/usr');
  assert.equal(JSON.parse(env).B, '2');
});

kairoTest('a program that cannot start is E_SPAWN_FAILED with errno, its name and the step', async ({ client, daemon }) => {
  const script = path.join(daemon.dir, 'no-shebang');
  fs.writeFileSync(script, 'echo never\n', { mode: 0o755 });
  const plain = path.join(daemon.dir, 'not-executable');
  fs.writeFileSync(plain, 'x', { mode: 0o644 });
  const attempts = [
    [['no-such-program-anywhere'], {}, 'ENOENT'],
    [['/no/such/program'], {}, 'ENOENT'],
    [['/tmp'], {}, 'EACCES'],
    [[plain], {}, 'EACCES'],
    [[script], {}, 'ENOEXEC'],
    [['true'], { cwd: '/no/such/directory' }, 'ENOENT'],
    [['true'], { cwd: plain }, 'ENOTDIR'],
  ];
  for (const [command, options, name] of attempts) {
    const error = await refused(start(client, command, options), 'E_SPAWN_FAILED');
    assert.equal(error.details.errnoName, name, `${command} in ${options.cwd}: ${error.message}`);
    assert.equal(typeof error.details.errno, 'number');
    assert.equal(typeof error.details.step, 'string', `which step failed: ${JSON.stringify(error.details)}`);
  }
  assert.deepEqual((await client.request('process.list', {})).sessions, []);
});

kairoTest('a command that can be none is a wrong parameter', async ({ client }) => {
  const empty = await refused(start(client, []), 'E_INVALID_PARAMS');
  assert.equal(empty.details.path, 'params.command');
  const nul = await refused(start(client, ['echo', 'a\0b']), 'E_INVALID_PARAMS');
  assert.equal(nul.details.path, 'params.command[1]');
});

kairoTest('an id that is none is a wrong parameter', async ({ client }) => {
  for (const id of ['', '.a', '-a', 'a/b', 'a b', 'ä', 'x'.repeat(129)]) {
    const error = await refused(start(client, ['true'], {}, { params: { id } }), 'E_INVALID_PARAMS');
    assert.equal(error.details.path, 'params.id');
  }
  const longest = 'x'.repeat(128);
  assert.equal((await start(client, ['true'], {}, { params: { id: longest } })).id, longest);
});

kairoTest('an id used twice is refused with the session that has it', async ({ client }) => {
  const params = { id: 'twice' };
  const session = await start(client, ['cat'], {}, { params });
  const error = await refused(start(client, ['true'], {}, { params }), 'E_ALREADY_EXISTS');
  assert.equal(error.details.session.id, 'twice');
  assert.equal(error.details.session.pid, session.pid);
  await refused(start(client, ['true'], { replace: true }, { params }), 'E_ALREADY_EXISTS');
  await client.request('process.stdin.close', params);
  await client.request('process.wait', params);
  await refused(start(client, ['true'], {}, { params }), 'E_ALREADY_EXISTS');
  const replaced = await start(client, testChild('exit', 3), { replace: true }, { params });
  assert.notEqual(replaced.pid, session.pid);
  assert.equal((await client.request('process.wait', params)).exitCode, 3);
});

kairoTest('stderr can go where stdout goes', async ({ client }) => {
  const session = await start(client, testChild('spew', 160, 'stderr'), { stderr: 'stdout' });
  await session.stdout.ended;
  assertSameBytes(session.stdout.bytes, pattern(160));
});

kairoTest('two thousand spawns in flight all end', async ({ client }) => {
  const ended = await Promise.all(
    Array.from({ length: 2000 }, async () => {
      const { id } = await start(client, ['true'], { subscribe: false });
      return client.request('process.wait', { id });
    }),
  );
  assert.equal(ended.filter(({ exitCode }) => exitCode === 0).length, 2000);
});

// --- waiting, listing, forgetting ------------------------------------------------------------------

kairoTest('a pending wait blocks nothing, and a hundred waits are all answered', async ({ client }) => {
  const { id } = await start(client, testChild('await-line', 'exit', 5));
  const waits = Array.from({ length: 100 }, () => client.request('process.wait', { id }));
  await client.request('kernel.ping', {});
  assert.equal((await client.request('process.status', { id })).status, 'running');
  await client.request('process.stdin.write', { id, data: '\n' });
  for (const ended of await Promise.all(waits)) assert.equal(ended.exitCode, 5);
});

kairoTest('a wait after the end answers at once, from any connection, again and again', async ({ client, connect }) => {
  const { id } = await start(client, testChild('exit', 9));
  const ended = await client.event('kairo.process.exited', id);
  const other = await connect();
  for (let i = 0; i < 3; ++i) {
    const waited = await other.request('process.wait', { id, timeoutMs: 0 });
    assert.equal(waited.exitCode, ended.data.exitCode);
    assert.equal(waited.streams.stdout.eof, true);
    assert.match(waited.exitedAt, /Z$/);
  }
});

kairoTest('a wait that times out leaves the process alone', async ({ client }) => {
  const { id } = await start(client, ['sleep', '1000']);
  await refused(client.request('process.wait', { id, timeoutMs: 20 }), 'E_TIMEOUT');
  assert.equal((await client.request('process.status', { id })).status, 'running');
});

kairoTest('every method names a session that is not known', async ({ client }) => {
  const id = 'nobody';
  const requests = [
    ['process.status', {}],
    ['process.wait', {}],
    ['process.kill', {}],
    ['process.pause', {}],
    ['process.resume', {}],
    ['process.cancel', {}],
    ['process.forget', {}],
    ['process.attach', {}],
    ['process.read', { stream: 'stdout', offset: 0 }],
    ['process.stdin.write', { data: 'x' }],
    ['process.stdin.close', {}],
  ];
  for (const [method, more] of requests) {
    const error = await refused(client.request(method, { id, ...more }), 'E_NOT_FOUND');
    assert.ok(error.message.includes('nobody'), `${method}: ${error.message}`);
  }
});

kairoTest('list filters by status and label, and answers in pages', async ({ client }) => {
  const labels = { group: 'pages' };
  for (let i = 0; i < 5; ++i) await start(client, ['sleep', '1000'], { labels }, { params: { id: `page-${i}` } });
  const { id } = await start(client, ['true']);
  await client.request('process.wait', { id });
  const ids = [];
  let after;
  let pages = 0;
  do {
    const page = await client.request('process.list', { label: 'group=pages', limit: 2, after });
    ids.push(...page.sessions.map((each) => each.id));
    after = page.next;
    ++pages;
  } while (after !== undefined);
  assert.deepEqual(ids, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
  assert.equal(pages, 3);
  const exited = await client.request('process.list', { status: 'exited' });
  assert.deepEqual(exited.sessions.map((each) => each.id), [id]);
  assert.deepEqual((await client.request('process.list', { label: 'group=other' })).sessions, []);
});

kairoTest('an ended session can be forgotten, a running one cannot', async ({ client }) => {
  const { id } = await start(client, ['cat']);
  await refused(client.request('process.forget', { id }), ['E_INVALID_REQUEST', 'E_INVALID_PARAMS', 'E_UNSUPPORTED']);
  await client.request('process.stdin.close', { id });
  await client.request('process.wait', { id });
  await client.request('process.forget', { id });
  await refused(client.request('process.status', { id }), 'E_NOT_FOUND');
});

// --- stdin -----------------------------------------------------------------------------------------

kairoTest('stdin takes text, base64 and bytes, in order', async ({ client }) => {
  const { id } = await start(client, ['cat']);
  const writes = [
    client.request('process.stdin.write', { id, data: 'text ' }),
    client.request('process.stdin.write', { id, data: 'YmFzZTY0IA==', encoding: 'base64' }),
    client.request('process.stdin.write', { id, data: Buffer.from([0x00, 0xff, 0x0a]) }),
    client.request('process.stdin.close', { id }),
  ];
  assert.deepEqual((await Promise.all(writes)).slice(0, 3).map(({ offset }) => offset), [5, 12, 15]);
  assert.equal((await client.request('process.wait', { id })).exitCode, 0);
  const wanted = Buffer.concat([Buffer.from('text base64 '), Buffer.from([0x00, 0xff, 0x0a])]);
  assertSameBytes(await readAll(client, id, 'stdout'), wanted);
});

kairoTest('ten MiB written to stdin arrive whole and in order', async ({ client }) => {
  const total = 10 * 1024 * 1024;
  const piece = 512 * 1024;
  const { id } = await start(client, testChild('verify-stdin'), { subscribe: false });
  const writes = [];
  for (let offset = 0; offset < total; offset += piece)
    writes.push(client.request('process.stdin.write', { id, data: pattern(piece, offset) }));
  await Promise.all(writes);
  await client.request('process.stdin.close', { id });
  await client.request('process.wait', { id });
  assert.equal((await readAll(client, id, 'stdout')).toString(), `ok ${total}\n`);
});

kairoTest('an offset makes a write exactly-once', async ({ client }) => {
  const { id } = await start(client, ['cat']);
  const write = (data, offset) => client.request('process.stdin.write', { id, data, offset });
  assert.deepEqual(await write('abc', 0), { written: 3, offset: 3 });
  assert.deepEqual(await write('abc', 0), { written: 0, offset: 3 });
  assert.deepEqual(await write('bcdef', 1), { written: 3, offset: 6 });
  const gap = await refused(write('x', 9), 'E_INVALID_PARAMS');
  assert.equal(gap.details.path, 'params.offset');
  await client.request('process.stdin.close', { id });
  await client.request('process.wait', { id });
  assert.equal((await readAll(client, id, 'stdout')).toString(), 'abcdef');
});

kairoTest('a write to a closed stdin is E_STDIN_CLOSED', async ({ client }) => {
  // It goes on after the end of its input, so that only the stdin can be what is closed.
  const { id } = await start(client, ['sh', '-c', 'cat; exec sleep 1000']);
  await client.request('process.stdin.close', { id });
  await refused(client.request('process.stdin.write', { id, data: 'x' }), 'E_STDIN_CLOSED');
  await client.request('process.kill', { id, signal: 'SIGKILL' });
  await client.request('process.wait', { id });
  await refused(client.request('process.stdin.write', { id, data: 'x' }), ['E_STDIN_CLOSED', 'E_NOT_RUNNING']);
  const none = await start(client, ['sleep', '1000'], { stdin: 'null' });
  assert.equal(none.stdin.open, false);
  await refused(client.request('process.stdin.write', { id: none.id, data: 'x' }), 'E_STDIN_CLOSED');
});

kairoTest('a child that never reads slows only its writers', async ({ client }) => {
  const { id } = await start(client, ['sleep', '1000']);
  const mebibyte = Buffer.alloc(1024 * 1024, 'x');
  let answered = 0;
  const writes = Array.from({ length: 4 }, () =>
    client.request('process.stdin.write', { id, data: mebibyte }).then(
      (result) => {
        ++answered;
        return result;
      },
      (error) => error,
    ),
  );
  await client.request('kernel.ping', {});
  const { stdin } = await client.request('process.status', { id });
  assert.ok(stdin.queued <= 1024 * 1024, `${stdin.queued} bytes wait`);
  const other = await start(client, ['echo', 'still served']);
  await other.stdout.ended;
  assert.ok(answered < 4, 'a write for which there is no room waits');
  await client.request('process.kill', { id, signal: 'SIGKILL' });
  const outcomes = await Promise.all(writes);
  const cut = outcomes.filter((each) => each instanceof Error);
  assert.ok(cut.length > 0);
  for (const error of cut) {
    assert.equal(error.code, 'E_STDIN_CLOSED');
    assert.equal(typeof error.details.written, 'number');
  }
});

kairoTest('more than 64 waiting writes are E_LIMIT_EXCEEDED', async ({ client }) => {
  const { id } = await start(client, ['sleep', '1000']);
  const piece = Buffer.alloc(1024 * 1024, 'x');
  const codes = [];
  const writes = Array.from({ length: 70 }, () =>
    client.request('process.stdin.write', { id, data: piece }).then(
      () => codes.push('written'),
      (error) => codes.push(error.code),
    ),
  );
  await eventually(() => codes.includes('E_LIMIT_EXCEEDED'), 'a refused write');
  await client.request('process.kill', { id, signal: 'SIGKILL' });
  await Promise.all(writes);
  assert.ok(codes.filter((code) => code === 'E_STDIN_CLOSED').length <= 64);
});

kairoTest('a child that ends with unread stdin harms nobody', async ({ client }) => {
  const { id } = await start(client, testChild('exit-without-reading', 4));
  const write = client
    .request('process.stdin.write', { id, data: Buffer.alloc(1024 * 1024, 'x') })
    .catch((error) => assert.equal(error.code, 'E_STDIN_CLOSED'));
  assert.equal((await client.request('process.wait', { id })).exitCode, 4);
  await write;
  await client.request('kernel.ping', {});
});

kairoTest('a child that closes its stdin lives on, and writes to it fail', async ({ client }) => {
  const session = await start(client, testChild('close-stdin-then-sleep'));
  await client.first(() => session.stdout.text === 'ready\n', { what: 'ready' });
  await eventually(async () => {
    const error = await client
      .request('process.stdin.write', { id: session.id, data: 'x' })
      .then(() => undefined, (caught) => caught);
    return error?.code === 'E_STDIN_CLOSED';
  }, 'a write that is refused');
  assert.equal((await client.request('process.status', { id: session.id })).status, 'running');
});

// --- signals, pause, cancel, limits of time --------------------------------------------------------

kairoTest('kill sends any signal by name or number, and the status tells which', async ({ client }) => {
  const attempts = [
    [undefined, 'SIGTERM'],
    ['SIGKILL', 'SIGKILL'],
    ['INT', 'SIGINT'],
    [1, 'SIGHUP'],
    ['SIGUSR1', 'SIGUSR1'],
  ];
  for (const [signal, name] of attempts) {
    const { id } = await start(client, ['sleep', '1000']);
    await client.request('process.kill', { id, signal });
    const ended = await client.request('process.wait', { id });
    assert.equal(ended.status, 'killed');
    assert.equal(ended.signal, name);
    assert.equal(ended.exitCode, undefined);
    assert.equal(ended.outcome.reason, 'signaled');
    const exited = await client.event('kairo.process.exited', id);
    assert.equal(exited.data.signal, name);
    await client.event('kairo.process.signaled', id);
  }
});

kairoTest('exit 9 and signal 9 are told apart', async ({ client }) => {
  const exited = await run(client, testChild('exit', 9));
  const killed = await run(client, testChild('die', 'SIGKILL'));
  assert.deepEqual([exited.status, exited.exitCode, exited.signal], ['exited', 9, undefined]);
  assert.deepEqual([killed.status, killed.exitCode, killed.signal], ['killed', undefined, 'SIGKILL']);
});

kairoTest('a signal that is none is a wrong parameter, and an ended process is not running', async ({ client }) => {
  const { id } = await start(client, ['cat']);
  for (const signal of ['SIGNONE', '', 0, 4711]) {
    const error = await refused(client.request('process.kill', { id, signal }), 'E_INVALID_PARAMS');
    assert.equal(error.details.path, 'params.signal');
  }
  await client.request('process.stdin.close', { id });
  await client.request('process.wait', { id });
  for (const method of ['process.kill', 'process.pause', 'process.resume', 'process.cancel'])
    await refused(client.request(method, { id }), 'E_NOT_RUNNING');
});

kairoTest('kill reaches the whole process group, or the main process alone', async ({ client }) => {
  const session = await start(client, testChild('grandchild-holds-stdout', 1000, 'sleep', 1000));
  await client.first(() => session.stdout.text.endsWith('\n'), { what: 'the pid' });
  const grandchild = Number(session.stdout.text);
  await client.request('process.kill', { id: session.id, signal: 'SIGUSR1', scope: 'group' });
  await client.request('process.wait', { id: session.id });
  await eventually(() => !isAlive(grandchild), 'the end of the grandchild');
});

kairoTest('kill escalates to SIGKILL', async ({ client }) => {
  const session = await start(client, testChild('ignore-term'));
  await client.first(() => session.stdout.text === 'ready\n', { what: 'ready' });
  await client.request('process.kill', { id: session.id, escalateAfterMs: 30 });
  assert.equal((await client.request('process.wait', { id: session.id })).signal, 'SIGKILL');
});

kairoTest('pause stops and resume continues, with an event for each', async ({ client }) => {
  const session = await start(client, ['sleep', '1000']);
  const { id, pid } = session;
  await client.request('process.pause', { id });
  await eventually(() => processState(pid) === 'T', 'the stop');
  await client.event('kairo.process.paused', id);
  const paused = await client.request('process.status', { id });
  assert.deepEqual([paused.status, paused.paused], ['running', true]);
  await client.request('process.resume', { id });
  await eventually(() => processState(pid) !== 'T', 'the continuation');
  await client.event('kairo.process.resumed', id);
  assert.equal((await client.request('process.status', { id })).paused, false);
});

kairoTest('a paused process can be killed', async ({ client }) => {
  const { id } = await start(client, ['sleep', '1000']);
  await client.request('process.pause', { id });
  await client.request('process.kill', { id });
  assert.equal((await client.request('process.wait', { id })).signal, 'SIGTERM');
});

kairoTest('a cancel kills after the grace what ignores SIGTERM', async ({ client }) => {
  const session = await start(client, testChild('ignore-term'));
  await client.first(() => session.stdout.text === 'ready\n', { what: 'ready' });
  await client.request('process.cancel', { id: session.id, graceMs: 30 });
  const ended = await client.request('process.wait', { id: session.id });
  assert.equal(ended.signal, 'SIGKILL');
  assert.equal(ended.outcome.reason, 'canceled');
});

kairoTest('a process that outlives its timeout is ended, and its outcome says so', async ({ client }) => {
  const { id } = await start(client, ['sleep', '1000'], { timeoutMs: 30 });
  const ended = await client.request('process.wait', { id });
  assert.equal(ended.outcome.reason, 'timeout');
  assert.equal(ended.status, 'killed');
});

// --- descendants and owners ------------------------------------------------------------------------

kairoTest('a grandchild that keeps stdout open is ended with its main process', async ({ client }) => {
  const session = await start(client, testChild('grandchild-holds-stdout', 1000));
  const ended = await client.request('process.wait', { id: session.id });
  assert.equal(ended.exitCode, 0);
  await session.stdout.ended;
  const grandchild = Number(session.stdout.text);
  await eventually(() => !isAlive(grandchild), 'the end of the grandchild');
});

kairoTest('a detached descendant lives on, delays exited by no more than the grace, and ends its stream itself', async ({
  client,
}) => {
  const options = { detachDescendants: true, killGraceMs: 100 };
  const session = await start(client, testChild('double-fork', 1000, 'keep'), options);
  assert.equal((await client.request('process.wait', { id: session.id })).exitCode, 0);
  await client.event('kairo.process.exited', session.id);
  await client.first(() => session.stdout.text.endsWith('\n'), { what: 'the pid' });
  const daemon = Number(session.stdout.text);
  assert.ok(isAlive(daemon), 'the detached daemon lives');
  process.kill(daemon, 'SIGKILL');
  await session.stdout.ended;
});

kairoTest('a double-forked daemon that keeps stdout does not keep exited back', async ({ client }) => {
  const session = await start(client, testChild('double-fork', 1000, 'keep'), { killGraceMs: 200 });
  const ended = await client.request('process.wait', { id: session.id });
  assert.equal(ended.exitCode, 0);
  await session.stdout.ended;
  const daemon = Number(session.stdout.text);
  assert.ok(daemon > 0);
  if (isAlive(daemon)) process.kill(daemon, 'SIGKILL');
});

kairoTest('the end of a connection changes nothing for its processes', async ({ client, connect }) => {
  const owner = await connect();
  const session = await start(owner, testChild('await-line', 'lines', 3));
  await owner.close();
  assert.equal((await client.request('process.status', { id: session.id })).status, 'running');
  await client.request('process.stdin.write', { id: session.id, data: '\n' });
  await client.request('process.wait', { id: session.id });
  assert.equal((await readAll(client, session.id, 'stdout')).toString(), 'line 0\nline 1\nline 2\n');
});

kairoTest('onOwnerExit kill ends the process with its owner’s connection', async ({ client, connect }) => {
  const owner = await connect();
  const { id } = await start(owner, ['sleep', '1000'], { onOwnerExit: 'kill' });
  await owner.close();
  assert.equal((await client.request('process.wait', { id })).outcome.reason, 'owner-gone');
});
