/**
 * A configuration file as a table of its directives, and what follows from the table: the type of the configuration,
 * the parser with its checks, and the dump.
 */
import { ConfigError, lex, type Place, quoteWord, type Word } from './lexer.ts';
import type { ValueKind } from './values.ts';

/** One directive. `T` is what stands in the configuration for it, `V` one value of it in the file. */
export interface Directive<T, V = unknown> {
  readonly kind: ValueKind<V>;
  /** For the manual: what it does, in sentences. */
  readonly about: string;
  readonly use: 'required' | 'optional' | 'repeated';
  /** What holds where the file does not say. */
  readonly default: T | null;
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds directives of any types
export type Table = Readonly<Record<string, Directive<any, any>>>;

/** The configuration that a table describes. */
export type Conf<T extends Table> = {
  readonly [Name in keyof T]: T[Name] extends Directive<infer Value, infer _> ? Value : never;
};

/** A directive that must be there. */
export function required<V>(kind: ValueKind<V>, about: string): Directive<V, V> {
  return { kind, about, use: 'required', default: null };
}

/** A directive that must be there, and may be there again. */
export function repeated<V>(kind: ValueKind<V>, about: string): Directive<readonly V[], V> {
  return { kind, about, use: 'repeated', default: null };
}

/** A directive that has a default. */
export function byDefault<V>(kind: ValueKind<V>, value: V, about: string): Directive<V, V> {
  return { kind, about, use: 'optional', default: value };
}

/** A directive that is null where the file does not say. */
export function optional<V>(kind: ValueKind<V>, about: string): Directive<V | null, V> {
  return { kind, about, use: 'optional', default: null };
}

/**
 * @param file its name, for errors
 * @throws ConfigError for anything but a configuration as the table has it
 */
export function parse<T extends Table>(table: T, text: string, file: string): Conf<T> {
  const { directives, end } = lex(text, file);
  const values: Record<string, unknown> = {};
  const seen = new Map<string, Place>();
  for (const [name, ...words] of directives) {
    if (!name) continue;
    if (!Object.hasOwn(table, name.text)) throw unknown(name, Object.keys(table));
    const directive = table[name.text];
    if (!directive) continue;
    const value = readValue(directive, name, words);
    const first = seen.get(name.text);
    if (directive.use === 'repeated') {
      values[name.text] = [...((values[name.text] ?? []) as unknown[]), value];
    } else if (first) {
      throw new ConfigError(name, `${name.text} is there already, in line ${first.line}; only one may be`);
    } else {
      values[name.text] = value;
    }
    seen.set(name.text, name);
  }
  for (const [name, directive] of Object.entries(table)) {
    if (seen.has(name)) continue;
    if (directive.use !== 'optional') {
      throw new ConfigError(end, `${name} is missing; add a line: ${name} and ${directive.kind.expected}`);
    }
    values[name] = directive.default;
  }
  return values as Conf<T>;
}

/** The configuration as a file that parses to the same. */
export function dump<T extends Table>(table: T, conf: Conf<T>): string {
  const lines: string[] = [];
  for (const [name, directive] of Object.entries(table)) {
    const value: unknown = conf[name];
    if (value === null) continue;
    for (const one of directive.use === 'repeated' ? (value as unknown[]) : [value]) {
      lines.push(`${name} ${quoteWord(directive.kind.write(one))}\n`);
    }
  }
  return lines.join('');
}

function readValue(directive: Directive<unknown>, name: Word, words: readonly Word[]): unknown {
  const [word, surplus] = words;
  const { expected } = directive.kind;
  if (!word) throw new ConfigError(name, `${name.text} needs a value: ${expected}`);
  if (surplus) {
    throw new ConfigError(surplus, `${name.text} takes one value; write it in quotes if it contains blanks`);
  }
  const value = directive.kind.read(word.text);
  if (value === undefined) {
    throw new ConfigError(word, `${name.text} is ${JSON.stringify(word.text)}, but must be ${expected}`);
  }
  return value;
}

function unknown(name: Word, known: readonly string[]): ConfigError {
  // The original took every prefix of a directive for it.
  const nearest =
    known.find(candidate => candidate.startsWith(name.text)) ??
    known.toSorted((a, b) => distance(name.text, a) - distance(name.text, b))[0];
  return new ConfigError(name, `unknown directive ${JSON.stringify(name.text)}; the nearest is ${nearest}`);
}

/** Edits from one word to the other, two neighbours that changed places counting as one (Damerau). */
function distance(from: string, to: string): number {
  // Unknown words may be of any length; names of directives are not.
  const word = from.slice(0, 64).toLowerCase();
  let older: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= word.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = word[i - 1] === to[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && word[i - 1] === to[j - 2] && word[i - 2] === to[j - 1];
      row[j] = Math.min(
        (row[j - 1] ?? 0) + 1,
        (previous[j] ?? 0) + 1,
        (previous[j - 1] ?? 0) + same,
        swapped ? (older[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [older, previous] = [previous, row];
  }
  return previous[to.length] ?? 0;
}
