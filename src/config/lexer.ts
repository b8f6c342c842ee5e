/**
 * The original's syntax, taken apart into directives of words.
 *
 * Blanks separate words, a line end or `;` ends a directive, `#` starts a comment. `"` begins and ends a part of a word
 * in which none of these mean anything; `\` takes the next character as it is, inside quotes and out. Braces, which
 * the original's tokenizer knew and its configuration never used, must be quoted.
 */

/** Where something stands; line and column count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Word extends Place {
  readonly text: string;
}

/** Thrown for a configuration that is not what it should be. The message is `file:line:column: problem`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'CONFIG_INVALID';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly problem: string;

  constructor(place: Place, problem: string) {
    super(`${place.file}:${place.line}:${place.column}: ${problem}`);
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.problem = problem;
  }
}

export interface Lexed {
  /** Each directive's words, of which there is at least one. */
  readonly directives: Word[][];
  /** Where the text ends. */
  readonly end: Place;
}

const ENDS_WORD = ' \t\r\n;#{}';

/** @throws ConfigError for an open quote, a bare brace, a control character or bytes that were not UTF-8 */
export function lex(text: string, file: string): Lexed {
  const directives: Word[][] = [];
  let words: Word[] = [];
  let at = text.startsWith('\ufeff') ? 1 : 0;
  let line = 1;
  let lineStart = at;
  const place = (position: number): Place => ({ file, line, column: position - lineStart + 1 });

  while (at < text.length) {
    const character = text.charAt(at);
    if (character === ' ' || character === '\t') {
      at++;
    } else if (character === '#') {
      at = lineEnd(text, at);
    } else if (character === '\n' || character === '\r' || character === ';') {
      if (words.length > 0) directives.push(words);
      words = [];
      at++;
      if (character === '\n' || (character === '\r' && text[at] !== '\n')) {
        line++;
        lineStart = at;
      }
    } else {
      const word = readWord(text, at, place);
      words.push({ text: word.text, ...place(at) });
      at = word.end;
    }
  }
  if (words.length > 0) directives.push(words);
  return { directives, end: place(at) };
}

/** A word as it must stand in a file to be read as it is. It must not contain control characters. */
export function quoteWord(word: string): string {
  if (word !== '' && !/[\s;#{}"\\]/.test(word)) return word;
  return `"${word.replace(/["\\]/g, '\\$&')}"`;
}

function lineEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '\n' && text[at] !== '\r') at++;
  return at;
}

function readWord(text: string, start: number, place: (at: number) => Place): { text: string; end: number } {
  let word = '';
  let openQuote = -1;
  let at = start;
  for (; at < text.length; at++) {
    let character = text.charAt(at);
    if (character === '"') {
      openQuote = openQuote < 0 ? at : -1;
      continue;
    }
    if (openQuote < 0 && ENDS_WORD.includes(character)) break;
    if (character === '\n' || character === '\r') break;
    if (character === '\\') {
      character = text.charAt(++at);
      if (character === '\n' || character === '\r' || character === '') {
        throw new ConfigError(place(at - 1), 'backslash at the end of a line');
      }
    }
    checkCharacter(character, place(at));
    word += character;
  }
  if (openQuote >= 0) throw new ConfigError(place(openQuote), 'quote is not closed on its line');
  const brace = text.charAt(at);
  if (brace === '{' || brace === '}') {
    throw new ConfigError(
      place(at),
      `there are no blocks in this file; write "${brace}" in quotes if it is meant`,
    );
  }
  return { text: word, end: at };
}

function checkCharacter(character: string, place: Place): void {
  const code = character.charCodeAt(0);
  if (character === '\ufffd') throw new ConfigError(place, 'not UTF-8');
  // A tab in quotes is a blank like another.
  if ((code < 0x20 && code !== 9) || (code >= 0x7f && code < 0xa0)) {
    throw new ConfigError(place, `control character U+${code.toString(16).toUpperCase().padStart(4, '0')}`);
  }
}
