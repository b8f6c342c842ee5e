/**
 * ttyspy beside what else records terminals.
 *
 *   npm run bench -- [--quick] [--only NAME,...] [--measure bulk,echo,spawn,memory,receiver] [--json FILE]
 *
 * --only leaves other contenders out (bare always runs: it is what is taken off). Exit status 0 also where goals are
 * missed: figures depend on the machine; 70 where a record was not exact.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { outOfPatience } from './calm.ts';
import { Driver } from './driver.ts';
import { goals } from './goals.ts';
import { measureBulk, measureEcho, measureMemory, measureSpawn, noFigures, type Table } from './measures.ts';
import { Bare, Script, Tlog } from './peers.ts';
import { comparison, machine, verdicts } from './report.ts';
import { Scratch } from './scratch.ts';
import { Sudo } from './sudo.ts';
import { mixedText } from './text.ts';
import { Ttyspy } from './ttyspy.ts';

const MEASURES = ['bulk', 'echo', 'spawn', 'memory', 'receiver'];
const FULL = { size: 64 << 20, bulk: 7, echo: 12, keys: 500, spawn: 31, sessions: [1, 50, 500] };
const QUICK = { size: 16 << 20, bulk: 3, echo: 4, keys: 250, spawn: 9, sessions: [1, 20, 100] };

/** nice(2) of all that is measured. */
const PRIORITY = -10;

interface Options {
  readonly quick: boolean;
  readonly only: readonly string[];
  readonly measure: readonly string[];
  readonly json: string | null;
}

function options(): Options {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string', default: 'script,tlog,sudo,ttyspy' },
        measure: { type: 'string', default: MEASURES.join() },
        json: { type: 'string' },
      },
    });
    const measure = values.measure.split(',');
    const unknown = measure.find(name => !MEASURES.includes(name));
    if (unknown !== undefined) throw new Error(`no measure '${unknown}'; there are ${MEASURES.join(', ')}`);
    return { quick: values.quick, only: values.only.split(','), measure, json: values.json ?? null };
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exit(64);
  }
}

/** Contenders that can run here, their daemons running; says which cannot and why. */
async function contenders(scratch: Scratch, only: readonly string[]): Promise<Table> {
  const table: Table = new Map();
  for (const contender of [
    new Bare(scratch),
    new Script(scratch),
    new Tlog(scratch),
    new Sudo(scratch),
    new Ttyspy(scratch),
  ]) {
    if (contender.name !== 'bare' && !only.includes(contender.name)) continue;
    const missing = contender.missing();
    if (missing) {
      console.log(`without ${contender.name}: ${missing}`);
      continue;
    }
    await contender.start();
    table.set(contender, noFigures());
  }
  return table;
}

async function measureAll(scratch: Scratch, table: Table, { measure, quick }: Options): Promise<void> {
  const driver = new Driver(scratch);
  const how = quick ? QUICK : FULL;
  const say = (what: string) => console.error(`bench: ${what}`);
  if (measure.includes('spawn')) {
    say(`start, ${how.spawn} rounds`);
    await measureSpawn(table, driver, how.spawn);
  }
  if (measure.includes('echo')) {
    say(`keystrokes, ${how.echo} rounds of ${how.keys}`);
    await measureEcho(table, driver, how.keys, how.echo);
  }
  if (measure.includes('bulk')) {
    say(`bulk, ${how.bulk} rounds of ${how.size >> 20} MiB`);
    const text = mixedText(how.size);
    writeFileSync(scratch.path('text'), text);
    const sha256 = createHash('sha256').update(text).digest('hex');
    await measureBulk(table, driver, { file: scratch.path('text'), size: how.size, sha256 }, how.bulk);
  }
  if (measure.includes('memory')) {
    say(`memory, ${how.sessions.join(', ')} sessions`);
    await measureMemory(table, driver, how.sessions);
  }
}

function report(facts: readonly string[], table: Table, { quick, json }: Options): void {
  const sessions = (quick ? QUICK : FULL).sessions;
  const figures = new Map([...table].map(([contender, found]) => [contender.name, found]));
  const reachedGoals = goals(figures, sessions);
  console.log(
    ['', ...machine(), '', ...comparison(figures, sessions), '', ...verdicts(reachedGoals)].join('\n'),
  );
  if (outOfPatience()) {
    console.log('\nThe machine was busy with other things all the time: measure again on an idle one.');
  }
  if (json !== null) {
    const content = { machine: facts, figures: Object.fromEntries(figures), goals: reachedGoals };
    writeFileSync(json, `${JSON.stringify(content, null, 2)}\n`);
  }
  if ([...figures.values()].some(({ exact }) => exact === false)) process.exitCode = 70;
}

/** The receiver alone has a bench of its own. */
function receiver({ quick }: Options): void {
  const program = fileURLToPath(new URL('receiver.ts', import.meta.url));
  if (!existsSync(program)) return;
  console.error('bench: receiver');
  spawnSync(process.execPath, [program, ...(quick ? ['--quick'] : [])], { stdio: 'inherit' });
}

/** Everything measured inherits it: what else runs on the machine then disturbs less. Only root may. */
function goFirst(): void {
  try {
    setPriority(PRIORITY);
  } catch {
    // Measured among equals, then.
  }
}

async function main(): Promise<void> {
  const chosen = options();
  goFirst();
  const scratch = new Scratch();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      scratch.closeNow();
      process.exit(128 + { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }[signal]);
    });
  }
  try {
    const facts = machine();
    const table = await contenders(scratch, chosen.only);
    await measureAll(scratch, table, chosen);
    report(facts, table, chosen);
  } catch (error) {
    console.error(`bench: ${(error as Error).message}\n${scratch.lastWords()}`);
    process.exitCode = 70;
  } finally {
    await scratch.close();
  }
  if (chosen.measure.includes('receiver')) receiver(chosen);
}

await main();
