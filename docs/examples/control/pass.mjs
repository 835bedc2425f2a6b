// A node in JavaScript, without packages: it passes on what it is given, says hello, sends heartbeats, and
// acknowledges that it is to end, which it does with its input.
import net from 'node:net';

const { KAIRO_NODE: nodeId, KAIRO_CONTROL_TOKEN: token, KAIRO_CONTROL_SOCKET: path } = process.env;

// MsgPack of what a node says: maps, short texts, small numbers.
const pack = (value) =>
  typeof value === 'number' ? Buffer.from([value])
  : typeof value === 'string' ? Buffer.concat([Buffer.from([0xd9, Buffer.byteLength(value)]), Buffer.from(value)])
  : Buffer.concat([Buffer.from([0x80 | Object.keys(value).length]), ...Object.entries(value).flat().map(pack)]);

function send(type, data = {}) {
  const payload = pack({ type, data });
  const head = Buffer.from([0x4b, 0x41, 1, 3, 0, 0, 0, 0]);
  head.writeUInt32BE(payload.length, 4);
  control.write(Buffer.concat([head, payload]));
}

// The executor writes an event's type first: a map's head, "type", and the text with one or two bytes of head.
const typeOf = (event) =>
  event[6] === 0xd9 ? event.toString('utf8', 8, 8 + event[7]) : event.toString('utf8', 7, 7 + (event[6] & 0x1f));

let come = Buffer.alloc(0);
let heartbeats;
const control = net.connect(path, () => send('control.hello', { nodeId, protocolVersion: 1, token }));
control.on('data', (bytes) => {
  come = Buffer.concat([come, bytes]);
  while (come.length >= 8 && come.length >= 8 + come.readUInt32BE(4)) {
    const event = come.subarray(8, 8 + come.readUInt32BE(4));
    come = come.subarray(8 + event.length);
    if (typeOf(event) === 'control.shutdown') send('control.shutdown.ack');
    if (typeOf(event) !== 'control.welcome') continue;
    send('control.heartbeat');
    heartbeats = setInterval(send, 1000, 'control.heartbeat');
  }
});
control.on('error', () => process.exit(1));

process.stdin.pipe(process.stdout);
process.stdin.on('end', () => {
  clearInterval(heartbeats);
  control.end();
});
