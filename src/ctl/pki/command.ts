/** ttyspyctl pki: makes and revokes the certificates of ttyspy's mutual TLS. */
import { X509Certificate } from 'node:crypto';
import { quoteWord } from '../../config/lexer.ts';
import { choiceOption, numberOption, parseCommandLine } from '../command_line.ts';
import { Exit, Failure, printable, usageFailure } from '../failure.ts';
import {
  CertificateNameError,
  createAuthority,
  createCrl,
  type Identity,
  type IssueOptions,
  issueClient,
  issueServer,
  serialNumber,
} from './certificates.ts';
import { type IdentityFiles, PkiDirectory, read } from './directory.ts';

const DAY = 86_400_000;

const OPTIONS = {
  dir: { type: 'string', default: 'ttyspy-pki' },
  days: { type: 'string' },
  'key-type': { type: 'string', default: 'p256' },
  name: { type: 'string', default: 'ttyspy authority' },
} as const;

export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseCommandLine(args, OPTIONS);
  const [action, ...names] = positionals;
  const directory = new PkiDirectory(values.dir);
  const options: IssueOptions = {
    keyType: choiceOption('key-type', values['key-type'], ['p256', 'ed25519']),
    ...(values.days === undefined ? {} : { notAfter: afterDays(values.days) }),
  };
  if (action === 'init') {
    if (names.length > 0) throw usageFailure('pki init takes no names; the authority is named with --name');
    return await init(directory, values.name, options);
  }
  if (action !== 'server' && action !== 'client' && action !== 'revoke') {
    throw usageFailure(action ? `pki does not know ${JSON.stringify(action)}` : 'pki: what is to be made?');
  }
  if (names.length === 0) throw usageFailure(`pki ${action} needs a name`);
  try {
    if (action === 'revoke') await revoke(directory, names);
    else await issue(directory, action, names, options);
  } catch (error) {
    if (error instanceof CertificateNameError) throw usageFailure(error.message);
    throw error;
  }
}

async function init(directory: PkiDirectory, name: string, options: IssueOptions): Promise<void> {
  directory.refuseOverwrite('ca');
  const authority = await createAuthority(name, options);
  directory.create();
  const files = directory.write('ca', authority);
  directory.replaceCrl(await createCrl(authority, []));
  report(files, authority, 'authority');
  say(`made ${printable(directory.crl)}: revocation list, empty so far`);
  say('\nKeep the key of the authority off bastions and archive hosts: who has it can be any of them.');
  say('In ttyspy.conf of bastions and in receiver.conf:');
  sayConfiguration({ ca_path: files.certificate });
}

async function issue(
  directory: PkiDirectory,
  role: 'server' | 'client',
  names: readonly string[],
  options: IssueOptions,
): Promise<void> {
  const authority = directory.authority();
  const end = new X509Certificate(authority.certificate).validToDate;
  if (options.notAfter && options.notAfter > end) {
    throw usageFailure(`--days goes beyond the authority, which is valid until ${day(end)}`);
  }
  const stem = `${role}-${names[0]?.replace('*', '_')}`;
  const identity = await (role === 'server' ? issueServer : issueClient)(authority, names, options);
  const files = directory.write(stem, identity);
  report(files, identity, `${role} ${names.join(', ')}`);
  say(`\nIn ${role === 'server' ? 'receiver.conf of this server' : 'ttyspy.conf of this bastion'}:`);
  sayConfiguration({
    ca_path: directory.files('ca').certificate,
    cert_path: files.certificate,
    key_path: files.key,
    ...(role === 'server' ? { crl_path: directory.crl } : {}),
  });
  const reader = role === 'server' ? 'ttyspy-receiver' : 'ttyspy-uplink';
  say(`On another host: copy these files there. The key must be readable by ${reader} and nobody else.`);
}

async function revoke(directory: PkiDirectory, names: readonly string[]): Promise<void> {
  const authority = directory.authority();
  const stems = names.map(name => stemOf(directory, name));
  const revoked = stems.map(stem => ({
    stem,
    serial: serialNumber(read(directory.files(stem).certificate)),
  }));
  const previous = directory.readCrl();
  const serials = revoked.map(({ serial }) => serial);
  directory.replaceCrl(await createCrl(authority, serials, previous === null ? {} : { previous }));
  for (const { stem, serial } of revoked) {
    const aside = directory.putAside(stem, serial);
    say(`revoked ${stem} (serial ${serial}); its files are in ${printable(aside)} now`);
  }
  say('\nCopy the list to where crl_path of receiver.conf says:');
  sayConfiguration({ crl_path: directory.crl });
}

/** `client-NAME` or `server-NAME`, or just NAME where only one of the two is there. */
function stemOf(directory: PkiDirectory, name: string): string {
  const candidates = [name, `client-${name}`, `server-${name}`].filter(stem => !/^ca$|\//.test(stem));
  const [found, another] = candidates.filter(stem => directory.has(stem));
  if (found === undefined) {
    throw new Failure(
      Exit.noInput,
      `there is no certificate of ${printable(name)} in ${printable(directory.path)}`,
    );
  }
  if (another !== undefined) throw usageFailure(`which one: ${found} or ${another}?`);
  return found;
}

function afterDays(text: string): Date {
  const days = numberOption('days', text, { least: 1, most: 36_500, whole: true });
  return new Date(Date.now() + days * DAY);
}

function report(files: IdentityFiles, identity: Identity, what: string): void {
  const end = new X509Certificate(identity.certificate).validToDate;
  say(`made ${printable(files.certificate)}: certificate, ${printable(what)}, valid until ${day(end)}`);
  say(`made ${printable(files.key)}: its private key`);
}

function sayConfiguration(lines: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(lines)) say(`    ${name.padEnd(9)} ${quoteWord(value)}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
