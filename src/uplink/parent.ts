/** Where ttyspyd starts the uplink itself, the uplink must not outlive it: a pipe on standard input tells. */
import { fstatSync } from 'node:fs';

/** Whether standard input is something whose end can be seen. */
export function hasParentPipe(): boolean {
  try {
    const stat = fstatSync(0);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}

/** Calls back once when the other end of standard input is closed. What comes in on it means nothing. */
export function whenParentEnds(ended: () => void): void {
  process.stdin.on('error', () => {});
  process.stdin.once('close', ended);
  process.stdin.resume();
}
