/** The measurements. Contenders take turns within each round, so that what disturbs the machine disturbs all of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { calm } from './calm.ts';
import type { Contender } from './contender.ts';
import type { Driver } from './driver.ts';
import { cpuSeconds, descendants, footprint, pss, quiet } from './processes.ts';

/** Figures of one contender; lists have a value a round. */
export interface Figures {
  /** MB a second from the spawn to the end of the display. */
  bulk: number[];
  /** CPU seconds of all recorder processes for one bulk display, the session itself taken off. */
  cpu: number[];
  /** Of these: the part of daemons that serve all sessions. */
  daemonCpu: number[];
  /** Seconds from the end of the display until the record is complete. */
  lag: number[];
  /** Round trips, microseconds: each round's median, 99th percentile, largest. */
  p50: number[];
  p99: number[];
  max: number[];
  /** Milliseconds from spawn to first byte. */
  spawn: number[];
  /** Whether every record and every display was what the command wrote; null before the first check. */
  exact: boolean | null;
  /** KiB (PSS) of everything, recorder and sessions, by number of sessions. */
  memory: Record<number, number>;
  /** KiB of the daemons after their start, as if alone; of those of them on the recorded host, not the archive's. */
  idle: number | null;
  idleHost: number | null;
}

export function noFigures(): Figures {
  const lists = { bulk: [], cpu: [], daemonCpu: [], lag: [], p50: [], p99: [], max: [], spawn: [] };
  return { ...lists, exact: null, memory: {}, idle: null, idleHost: null };
}

export type Table = Map<Contender, Figures>;

export interface Text {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/** Runs `measure` for each contender in turn, another one first each round. Round 0 warms up. */
async function inTurns(
  table: Table,
  rounds: number,
  measure: (contender: Contender, figures: Figures, round: number) => Promise<void>,
): Promise<void> {
  const contenders = [...table];
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const [contender, figures] = contenders[(i + round) % contenders.length] as [Contender, Figures];
      await calm();
      await measure(contender, figures, round);
    }
  }
}

/** Shows the text; round 0 also compares, byte for byte, what was shown and what was recorded with the text. */
export async function measureBulk(table: Table, driver: Driver, text: Text, rounds: number): Promise<void> {
  await inTurns(table, rounds, async (contender, figures, round) => {
    contender.forget();
    const before = cpuSeconds(contender.daemons());
    const result = await driver.bulk(contender, text.file, text.size, round === 0);
    await contender.settle();
    const lag = (performance.now() - result.ended) / 1e3;
    await quiet(contender.daemons());
    const daemonCpu = cpuSeconds(contender.daemons()) - before;
    if (round === 0) {
      figures.exact = result.sha256 === text.sha256 && (await isRecorded(contender, text));
    } else {
      figures.bulk.push(text.size / (result.end / 1e3));
      figures.cpu.push((result.user + result.system) / 1e6 + daemonCpu);
      figures.daemonCpu.push(daemonCpu);
      figures.lag.push(lag);
    }
    contender.forget();
  });
  takeSessionOff(table);
}

async function isRecorded(contender: Contender, text: Text): Promise<boolean> {
  return contender.name === 'bare' || (await contender.recordedSha256()) === text.sha256;
}

/** The CPU time of the command itself, as measured in the same round without a recorder, is not the recorder's. */
function takeSessionOff(table: Table): void {
  const bare = [...table].find(([contender]) => contender.name === 'bare')?.[1].cpu.slice() ?? [];
  for (const figures of table.values())
    figures.cpu = figures.cpu.map((seconds, i) => seconds - (bare[i] ?? 0));
}

export async function measureEcho(
  table: Table,
  driver: Driver,
  count: number,
  rounds: number,
): Promise<void> {
  await inTurns(table, rounds, async (contender, figures, round) => {
    const times = await driver.echo(contender, count, 1 + round);
    await contender.settle();
    contender.forget();
    if (round === 0) return;
    const sorted = times.toSorted((a, b) => a - b).map(nanoseconds => nanoseconds / 1e3);
    figures.p50.push(sorted[Math.floor(count * 0.5)] as number);
    figures.p99.push(sorted[Math.floor(count * 0.99)] as number);
    figures.max.push(sorted[count - 1] as number);
  });
}

export async function measureSpawn(table: Table, driver: Driver, rounds: number): Promise<void> {
  await inTurns(table, rounds, async (contender, figures, round) => {
    const { first } = await driver.spawn(contender);
    if (round > 0) figures.spawn.push(first / 1e6);
  });
  for (const contender of table.keys()) {
    await contender.settle();
    contender.forget();
  }
}

/** Opens sessions up to each of `counts`, one contender after the other: memory is not disturbed by others. */
export async function measureMemory(table: Table, driver: Driver, counts: readonly number[]): Promise<void> {
  for (const [contender, figures] of table) {
    // Anew, because a daemon's heap remembers what it served before.
    await contender.stop();
    await contender.start();
    await quiet(contender.daemons());
    await sleep(1000);
    figures.idle = footprint(contender.daemons());
    figures.idleHost = footprint(contender.host());
    const held = driver.hold(contender);
    for (const count of counts) {
      await held.grow(count);
      await quiet([...contender.daemons(), ...descendants(held.pid)]);
      await sleep(1000);
      figures.memory[count] = pss([...contender.daemons(), ...descendants(held.pid)]);
    }
    await held.end();
    await contender.settle();
    contender.forget();
  }
}
