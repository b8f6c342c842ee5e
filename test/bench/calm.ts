/** Waiting for moments in which nobody else uses the machine. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A moment is calm when the processors were idle for this part of it. */
const IDLE = 0.9;
const MOMENT_MS = 150;

/** All of a bench's waiting together, milliseconds: a machine that is always busy is measured as it is. */
let patience = 120_000;

/** Waits until the machine is calm. */
export async function calm(): Promise<void> {
  while (patience > 0) {
    const before = ticks();
    await sleep(MOMENT_MS);
    const after = ticks();
    if ((after.idle - before.idle) / (after.all - before.all) >= IDLE) return;
    patience -= MOMENT_MS;
  }
}

/** Whether calm() has come to wait no more. */
export function outOfPatience(): boolean {
  return patience <= 0;
}

/** Of all processors together, proc_stat(5). */
function ticks(): { idle: number; all: number } {
  const fields = (readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] as string)
    .split(/ +/)
    .slice(1, 9)
    .map(Number);
  const idle = (fields[3] ?? 0) + (fields[4] ?? 0);
  return { idle, all: fields.reduce((sum, field) => sum + field, 0) };
}
