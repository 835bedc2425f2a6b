// Runs each test against a kairod of its own in a temporary directory.
//
// Environment: KAIROD is the daemon's path, KAIRO_TEST_CHILD that of the tests' child.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { KairoClient, KairoError } from './kairo.mjs';

/** No test waits longer for a condition than this; a test that does has failed. */
const DEADLINE_MS = 60_000;
const POLL_MS = 10;

function required(name) {
  const value = process.env[name];
  assert.ok(value, `${name} must be set to the path of a program`);
  assert.ok(fs.existsSync(value), `${name} names ${value}, which does not exist: build it first`);
  return value;
}

/** Waits until `probe` gives something truthy, and gives that. */
export async function eventually(probe, what) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const got = await probe();
    if (got) return got;
    assert.ok(Date.now() < end, `${what} did not come true within ${DEADLINE_MS} ms`);
    await delay(POLL_MS);
  }
}

/** Whether a process is there and is not a zombie; `state` is the letter of proc(5). */
export function processState(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2)[0];
  } catch {
    return undefined;
  }
}
export function isAlive(pid) {
  const state = processState(pid);
  return state !== undefined && state !== 'Z' && state !== 'X';
}

class Daemon {
  #clients = [];
  #process;
  #logPath;
  #keeperPid;

  constructor() {
    this.program = required('KAIROD');
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'kairo-interop-'));
    this.socket = path.join(this.dir, 'socket');
    this.stateDir = path.join(this.dir, 'state');
    this.#logPath = path.join(this.dir, 'kairod.log');
  }

  async start() {
    const log = fs.openSync(this.#logPath, 'a');
    const env = { ...process.env };
    for (const name of ['KAIRO_IPC_SOCKET', 'KAIRO_PROCESS_ID', 'KAIRO_CORRELATION_ID']) delete env[name];
    this.#process = spawn(this.program, ['--socket', this.socket, '--state-dir', this.stateDir], {
      stdio: ['ignore', log, log],
      env,
    });
    this.#process.on('error', () => {});
    fs.closeSync(log);
    const client = await eventually(async () => {
      assert.equal(this.#process.exitCode ?? this.#process.signalCode, null, `kairod ended:\n${this.log}`);
      return KairoClient.connect(this.socket).catch(() => undefined);
    }, 'a connection to kairod');
    await client.request('kernel.ping', {});
    this.#keeperPid = (await client.request('kernel.info', {})).keeperPid;
    await client.close();
  }

  get pid() {
    return this.#process.pid;
  }
  get log() {
    return fs.existsSync(this.#logPath) ? fs.readFileSync(this.#logPath, 'utf8') : '';
  }
  get isAlive() {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  async connect() {
    const client = await KairoClient.connect(this.socket);
    this.#clients.push(client);
    return client;
  }

  async stop() {
    if (this.isAlive) await this.#killSessions().catch(() => {});
    await Promise.all(this.#clients.map((client) => client.close()));
    if (this.isAlive) {
      const ended = new Promise((resolve) => this.#process.once('exit', resolve));
      this.#process.kill('SIGTERM');
      const outcome = await Promise.race([ended, delay(DEADLINE_MS, 'late', { ref: false })]);
      if (outcome === 'late') this.#process.kill('SIGKILL');
    }
    if (this.#keeperPid && isAlive(this.#keeperPid)) process.kill(this.#keeperPid, 'SIGKILL');
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  /** Ends what the test left running: the keeper and its children outlive a daemon by design. */
  async #killSessions() {
    const client = await this.connect();
    const { sessions } = await client.request('process.list', { status: 'running' });
    for (const { id } of sessions) {
      await client.request('process.kill', { id, signal: 'SIGKILL', scope: 'all' }).catch(() => {});
      await client.request('process.wait', { id, timeoutMs: 10_000 }).catch(() => {});
    }
  }
}

/** Fails when `work` takes longer than a test may. The runner's own bound would leave the daemon behind. */
function inTime(work) {
  const bound = 2 * DEADLINE_MS;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the test did not end within ${bound} ms`)), bound);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** A test with a daemon, and a first connection to it, of its own. */
export function kairoTest(name, body) {
  test(name, async () => {
    const daemon = new Daemon();
    try {
      await daemon.start();
      const client = await daemon.connect();
      await inTime(body({ client, daemon, connect: () => daemon.connect() }));
      assert.ok(daemon.isAlive, 'kairod must still run at the end of the test');
    } catch (error) {
      console.error(`kairod's log:\n${daemon.log}`);
      throw error;
    } finally {
      await daemon.stop();
    }
  });
}

/** A command that runs the tests' child. */
export function testChild(...words) {
  return [required('KAIRO_TEST_CHILD'), ...words.map(String)];
}

/** Spawns and gives the session; `stdout` and `stderr` are what its own subscription gets. */
export async function start(client, command, options, extra = {}) {
  const session = await client.request('process.spawn', { command, options, ...extra.params }, extra.envelope);
  return {
    ...session,
    stdout: client.output(session.subscriptionId, 'stdout'),
    stderr: client.output(session.subscriptionId, 'stderr'),
  };
}

/** Runs a command to its end without a subscription and gives its whole stdout, read from the log. */
export async function run(client, command, options = {}, extra = {}) {
  const session = await start(client, command, { ...options, subscribe: false }, extra);
  const ended = await client.request('process.wait', { id: session.id });
  return { ...ended, text: (await readAll(client, session.id, 'stdout')).toString('utf8') };
}

/** All that a log holds from `offset` to its end, by process.read. */
export async function readAll(client, id, stream, offset = 0) {
  const parts = [];
  for (;;) {
    const got = await client.request('process.read', { id, stream, offset, encoding: 'binary', waitMs: 10_000 });
    parts.push(Buffer.from(got.chunk));
    offset = got.nextOffset;
    if (got.eof) return Buffer.concat(parts);
  }
}

/** Asserts that a request fails with `code`; gives the error. */
export async function refused(promise, code) {
  const error = await promise.then(
    (result) => assert.fail(`should have been refused with ${code}, but answered ${JSON.stringify(result)}`),
    (caught) => caught,
  );
  if (!(error instanceof KairoError)) throw error;
  const codes = [code].flat();
  assert.ok(codes.includes(error.code), `${error.code} instead of ${codes.join(' or ')}: ${error.message}`);
  assert.ok(error.message.length > error.code.length + 2, 'an error has a message');
  return error;
}

/** The bytes from `offset` on of what the child's `spew` writes: 15 hexadecimal digits of the record, newline. */
export function pattern(size, offset = 0) {
  const first = Math.floor(offset / 16);
  const records = [];
  for (let n = first; n * 16 < offset + size; ++n) records.push(n.toString(16).padStart(15, '0'), '\n');
  const whole = Buffer.from(records.join(''), 'latin1');
  return whole.subarray(offset - first * 16, offset - first * 16 + size);
}

/** Buffers may be large: says where they differ, not all they hold. */
export function assertSameBytes(got, wanted, what = 'the bytes') {
  assert.equal(got.length, wanted.length, `length of ${what}`);
  if (got.equals(wanted)) return;
  const at = got.findIndex((byte, i) => byte !== wanted[i]);
  assert.fail(`${what} differ at ${at}: ${got.subarray(at, at + 32)} instead of ${wanted.subarray(at, at + 32)}`);
}
