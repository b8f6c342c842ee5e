/**
 * An /etc of the test's own. Importing this file, before anything else, starts the test anew in a mount namespace in
 * which /etc is a copy in memory: passwd, shells(5) and /etc/ttyspy can be changed as on a bastion, for sshd, su, login
 * and all that they start, and the machine's own files are never touched. It goes with the last process in it, however
 * that ends.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Set in the process that is in the namespace, and in nothing that the rig starts. */
const MARK = 'TTYSPY_TEST_PRIVATE_ETC';

/**
 * Uids beyond those of tests that share the machine's passwd meanwhile; nothing that PAM prints before the shell; no
 * locks of somebody who was just changing passwd.
 */
const SETUP = `
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
cp -a /etc/. "$1"
mount --bind "$1" /etc
umount "$1"
rmdir "$1"
rm -f /etc/*.lock /etc/.pwd.lock
sed -i -E "s/^(UID|GID)_MIN.*/\\1_MIN $2/" /etc/login.defs
sed -i '/pam_motd/d; /pam_mail/d; /pam_lastlog/d' /etc/pam.d/*
shift 2
exec "$@"
`;

const UNSHARE = ['unshare', '--mount', '--propagation', 'private'] as const;

/** Why there is no /etc of the test's own; null when there is. */
export const noPrivateEtc: string | null = enter();

function enter(): string | null {
  if (process.env[MARK]) return null;
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  const attempt = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), 'true'], { encoding: 'utf8' });
  if (attempt.status !== 0)
    return `needs a mount namespace: ${attempt.error?.message ?? attempt.stderr}`.trim();
  const etc = mkdtempSync(join(tmpdir(), 'ttyspy-etc-'));
  const least = 30_000 + (process.pid % 1_000) * 20;
  const itself = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const argv = [...UNSHARE, 'sh', '-c', SETUP, 'sh', etc, String(least), ...itself];
  const unshare = spawnSync('sh', ['-c', 'command -v unshare'], { encoding: 'utf8' }).stdout.trim();
  process.execve?.(unshare, argv, { ...process.env, [MARK]: '1' });
  return 'needs execve';
}
