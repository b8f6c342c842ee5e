/** What may stand behind a directive: kinds of values, each with how it is read and written. */
import { nameProblem } from '../session/metadata.ts';

/** One kind of value. */
export interface ValueKind<T> {
  /** What is expected, as an error and the manual say it: `a size such as 4M`. */
  readonly expected: string;
  /** @returns undefined for a word that is no such value */
  read(word: string): T | undefined;
  /** The word that `read` takes for the same value. */
  write(value: T): string;
}

const KIB = 1024;
const SIZE_UNITS: readonly Unit[] = [
  ['T', KIB ** 4],
  ['G', KIB ** 3],
  ['M', KIB ** 2],
  ['K', KIB],
  ['', 1],
];
const TIME_UNITS: readonly Unit[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];
type Unit = readonly [name: string, factor: number];

/** Bytes: a number, or one with K, M, G or T (powers of 1024). */
export const size: ValueKind<number> = {
  expected: 'a size in bytes, such as 4M (K, M, G, T)',
  read: word => readUnits(word.toUpperCase(), SIZE_UNITS),
  write: value => writeUnits(value, SIZE_UNITS),
};

/** Milliseconds: a number with ms, s, m, h or d. A bare number is refused: it could be either of two units. */
export function duration(least: number, most: number): ValueKind<number> {
  return {
    expected: `a time from ${writeUnits(least, TIME_UNITS)} to ${writeUnits(most, TIME_UNITS)} with its unit, such as 500ms, 30s or 10m`,
    read: word => within(readUnits(word, TIME_UNITS), least, most),
    write: value => writeUnits(value, TIME_UNITS),
  };
}

export function integer(least: number, most: number): ValueKind<number> {
  return {
    expected: `a whole number from ${least} to ${most}`,
    read: word => within(readUnits(word, [['', 1]]), least, most),
    write: String,
  };
}

export const yesNo: ValueKind<boolean> = {
  expected: 'yes or no',
  read: word => (word === 'yes' ? true : word === 'no' ? false : undefined),
  write: value => (value ? 'yes' : 'no'),
};

export function oneOf<const T extends string>(...words: readonly T[]): ValueKind<T> {
  return {
    expected: words.join(' or '),
    read: word => words.find(candidate => candidate === word),
    write: value => value,
  };
}

/** A value of the one kind or of the other. */
export function either<A, B extends string>(first: ValueKind<A>, second: ValueKind<B>): ValueKind<A | B> {
  return {
    expected: `${first.expected}, or ${second.expected}`,
    read: word => second.read(word) ?? first.read(word),
    write: value => {
      const isSecond = typeof value === 'string' && second.read(value) !== undefined;
      return isSecond ? second.write(value as B) : first.write(value as A);
    },
  };
}

/** Absolute, because a daemon's working directory is not the admin's. */
export const path: ValueKind<string> = {
  expected: 'an absolute path',
  read: word => (word.startsWith('/') ? word : undefined),
  write: value => value,
};

/** The name of a user or a host, which the archive makes a directory of. */
export const name: ValueKind<string> = {
  expected: 'a name without slashes and blanks',
  read: word => (nameProblem(word) === null && !/\s|^-/.test(word) ? word : undefined),
  write: value => value,
};

/** Given in its normal form (URL.href). */
export const httpsUrl: ValueKind<string> = {
  expected:
    'an https URL without user, password and fragment, such as https://archive.example:8090/transcript',
  read: word => {
    const url = URL.parse(word);
    // A password would be readable by every user, as the file is.
    const bare = url?.username === '' && url.password === '' && url.hash === '';
    return bare && url.protocol === 'https:' ? url.href : undefined;
  },
  write: value => value,
};

/** Where a server listens. A null host means every address of the machine. */
export interface ListenAddress {
  readonly host: string | null;
  readonly port: number;
}

export const listenAddress: ValueKind<ListenAddress> = {
  expected: 'a port, host:port or [v6]:port',
  read: word => {
    const [, v6, name, digits] = /^(?:(?:\[([0-9a-f:.]+)\]|([^:[\]/\s]+)):)?(\d{1,5})$/i.exec(word) ?? [];
    const port = within(Number(digits), 0, 65_535);
    return port === undefined ? undefined : { host: v6 ?? name ?? null, port };
  },
  write: ({ host, port }) => {
    if (host === null) return String(port);
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  },
};

function readUnits(word: string, units: readonly Unit[]): number | undefined {
  const [, digits, name] = /^(\d{1,16})([a-zA-Z]*)$/.exec(word) ?? [];
  const unit = units.find(([candidate]) => candidate === name);
  return unit && within(Number(digits) * unit[1], 0, Number.MAX_SAFE_INTEGER);
}

/** In the largest unit that holds it exactly. */
function writeUnits(value: number, units: readonly Unit[]): string {
  const exact = units.find(([, factor]) => value !== 0 && value % factor === 0);
  const [name, factor] = exact ?? units.at(-1) ?? ['', 1];
  return `${value / factor}${name}`;
}

function within(value: number | undefined, least: number, most: number): number | undefined {
  return value !== undefined && value >= least && value <= most ? value : undefined;
}
