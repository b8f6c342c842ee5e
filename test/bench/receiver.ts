/**
 * The receiver alone, on loopback with TLS 1.3, beside a bare node:https server that only discards: bulk, small sessions
 * with fdatasync, memory of open sessions.
 *
 *   node test/bench/receiver.ts [--quick]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync, rmSync } from 'node:fs';
import { type Agent, createServer } from 'node:https';
import { dirname } from 'node:path';
import { appendHeaders, exit, output, Rig, startOf } from '../fixtures/receiver/rig.ts';
import { median } from './goals.ts';

export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly receiver: number;
  /** The bare server's figure, null where there is none. */
  readonly bare: number | null;
}

const MIB = 1_048_576;
const BULK = 64 * MIB;

/** A server under measurement. */
interface Target {
  readonly pid: number;
  readonly port: number;
}

/** CPU that all threads of a process have used, milliseconds (proc(5), schedstat). */
function cpu(pid: number): number {
  const threads = globSync(`/proc/${pid}/task/*/schedstat`);
  return threads.reduce((sum, file) => sum + Number(readFileSync(file, 'latin1').split(' ')[0]), 0) / 1e6;
}

/** Proportional set size, KiB. */
function pss(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]);
}

/** Events as a pty gives them: 4095 bytes of text each. */
function text(size: number): Buffer {
  const line = 'The quick brown fox jumps over the lazy dog, 0123456789 times.\r\n';
  const events: Buffer[] = [];
  for (let bytes = 0, time = 0; bytes < size; time += 100) {
    const event = output(time, line.repeat(64).slice(0, 4095));
    events.push(event);
    bytes += event.length;
  }
  return Buffer.concat(events);
}

/** The same bytes as a session of its own, in appends of `size` bytes, the last one with its end. */
async function bulk(
  rig: Rig,
  target: Target,
  stream: Buffer,
  size: number,
): Promise<{ speed: number; cpu: number }> {
  const start = startOf();
  const agent = rig.agentOf(rig.client, { maxSockets: 1 });
  rig.port = target.port;
  // The page cache has room then that the kernel, and the machine below a virtual one, has given out before.
  rmSync(dirname(rig.transcript(start)), { recursive: true, force: true });
  await rig.create(start, agent);
  const before = cpu(target.pid);
  const began = performance.now();
  for (let at = 0; at < stream.length; ) {
    const answer = await rig.append(
      start.id,
      at,
      stream.subarray(at, at + size),
      at + size >= stream.length,
      agent,
    );
    if (answer.status !== 204) throw new Error(`${answer.status} ${answer.text}`);
    // The bare server counts nothing.
    at = Number(answer.headers['upload-offset'] ?? Math.min(at + size, stream.length));
  }
  const seconds = (performance.now() - began) / 1000;
  agent.destroy();
  return { speed: stream.length / 1e6 / seconds, cpu: cpu(target.pid) - before };
}

/** Sessions of two requests, `parallel` at a time, each on a connection that is kept. @returns sessions a second */
async function small(rig: Rig, target: Target, count: number, parallel: number): Promise<number> {
  rig.port = target.port;
  const body = Buffer.concat([output(1_000, 'login\r\n'), output(2_000, 'logout\r\n'), exit(3_000)]);
  const agent = rig.agentOf(rig.client, { maxSockets: parallel });
  const began = performance.now();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const start = startOf();
      await rig.create(start, agent);
      const answer = await rig.append(start.id, 0, body, true, agent);
      if (answer.status !== 204) throw new Error(`${answer.status} ${answer.text}`);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  agent.destroy();
  return count / ((performance.now() - began) / 1000);
}

/** PSS of each further open session, KiB: created, with one append. */
async function memory(rig: Rig, target: Target, count: number, agent: Agent): Promise<number> {
  rig.port = target.port;
  const body = output(1_000, 'x'.repeat(1000));
  const open = async (sessions: number): Promise<number> => {
    for (let i = 0; i < sessions; i++) {
      const start = startOf();
      await rig.create(start, agent);
      await rig.ask(`/sessions/${start.id}`, {
        method: 'PATCH',
        headers: appendHeaders(0, false),
        body,
        agent,
      });
    }
    return pss(target.pid);
  };
  // What the first sessions cost is the program warming up.
  const before = await open(count / 2);
  return ((await open(count)) - before) / count;
}

/** The bare server, in a process of its own: `node receiver.ts --discard DIRECTORY`. */
function discard(directory: string): void {
  const read = (name: string) => readFileSync(`${directory}/${name}`);
  const tls = { ca: read('ca.pem'), cert: read('server.pem'), key: read('server.key') };
  const server = createServer(
    { ...tls, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      request.on('data', () => {});
      request.on('end', () => response.writeHead(204).end());
    },
  );
  server.listen(0, '127.0.0.1', () => console.log((server.address() as { port: number }).port));
}

export async function benchReceiver({ quick = false } = {}): Promise<Row[]> {
  const rig = await Rig.start();
  const receiver = { pid: rig.pid, port: rig.port };
  const bareServer = spawn(process.execPath, [import.meta.filename, '--discard', rig.directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [port] = await once(bareServer.stdout, 'data');
    const bare = { pid: bareServer.pid as number, port: Number(port) };
    const rounds = quick ? 3 : 7;
    const rows: Row[] = [];
    const stream = Buffer.concat([text(BULK), exit(1e12)]);
    for (const size of [1, 8]) {
      const figures = {
        receiver: [] as number[],
        bare: [] as number[],
        cpu: [] as number[],
        bareCpu: [] as number[],
      };
      for (let round = 0; round <= rounds; round++) {
        const one = await bulk(rig, receiver, stream, size * MIB);
        const other = await bulk(rig, bare, stream, size * MIB);
        // Round 0 warms up.
        if (round === 0) continue;
        figures.receiver.push(one.speed);
        figures.cpu.push(one.cpu);
        figures.bare.push(other.speed);
        figures.bareCpu.push(other.cpu);
      }
      const what = `64 MiB, appends of ${size} MiB`;
      rows.push({ what, unit: 'MB/s', receiver: median(figures.receiver) ?? 0, bare: median(figures.bare) });
      rows.push({
        what: '  CPU',
        unit: 'ms',
        receiver: median(figures.cpu) ?? 0,
        bare: median(figures.bareCpu),
      });
    }
    const count = quick ? 200 : 1_000;
    for (const parallel of [1, 4, 32]) {
      const what = `small sessions, ${parallel} at a time`;
      const one = await small(rig, receiver, count, parallel);
      rows.push({ what, unit: '1/s', receiver: one, bare: await small(rig, bare, count, parallel) });
    }
    // A new one, whose heap has not seen the bulk.
    await rig.stop();
    await rig.run();
    const fresh = { pid: rig.pid, port: rig.port };
    rows.push({ what: 'idle', unit: 'KiB', receiver: pss(fresh.pid), bare: null });
    const agent = rig.agentOf(rig.client, { maxSockets: 4 });
    const each = await memory(rig, fresh, 1_000, agent);
    rows.push({ what: 'a further open session', unit: 'KiB', receiver: each, bare: null });
    rows.push({ what: 'with 1500 open sessions', unit: 'KiB', receiver: pss(fresh.pid), bare: null });
    return rows;
  } finally {
    bareServer.kill();
    await rig.end();
  }
}

function table(rows: readonly Row[]): string {
  const cell = (value: number | null) =>
    (value === null ? '-' : value.toFixed(value < 10 ? 2 : 0)).padStart(12);
  const line = (what: string, unit: string, ...cells: string[]) =>
    `${what.padEnd(32)}${unit.padEnd(6)}${cells.join('')}`;
  const head = line('', '', 'receiver'.padStart(12), 'discard'.padStart(12));
  return [head, ...rows.map(row => line(row.what, row.unit, cell(row.receiver), cell(row.bare)))].join('\n');
}

if (import.meta.main) {
  const [option, directory] = process.argv.slice(2);
  if (option === '--discard') discard(directory ?? '.');
  else console.log(table(await benchReceiver({ quick: option === '--quick' })));
}
