/** Who runs the tests, and who else there is when that is root. */
import { execFileSync } from 'node:child_process';
import { userInfo } from 'node:os';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export const self: Account = { name: userInfo().username, uid: userInfo().uid, gid: userInfo().gid };

export const isRoot = self.uid === 0;

/** To be given as `skip`: false for root, else why. */
export const needsRoot: string | false = isRoot ? false : 'only root can become another user';

/** An account by its name. */
export function account(name: string): Account {
  const id = (what: string) => Number(execFileSync('id', [what, name], { encoding: 'utf8' }));
  return { name, uid: id('-u'), gid: id('-g') };
}

/** Somebody without any rights; only root can become it. */
export const nobody: Account = account('nobody');
