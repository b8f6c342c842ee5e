/** Options and arguments of ttyspyctl's commands. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { usageFailure } from './failure.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * @throws Failure (64) for an option that is unknown or lacks its value
 */
export function parseCommandLine<const O extends Options>(args: readonly string[], options: O) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) {
      throw usageFailure((error as Error).message.split('. ')[0] ?? '');
    }
    throw error;
  }
}

/** @throws Failure (64) naming the option */
export function numberOption(
  name: string,
  text: string,
  limits: { least: number; most: number; whole?: boolean },
): number {
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  const { least, most, whole } = limits;
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    throw usageFailure(`--${name} is ${JSON.stringify(text)}, but must be a number from ${least} to ${most}`);
  }
  return value;
}

/** @throws Failure (64) naming the option */
export function choiceOption<const T extends string>(name: string, text: string, choices: readonly T[]): T {
  const choice = choices.find(candidate => candidate === text);
  if (choice === undefined) {
    throw usageFailure(`--${name} is ${JSON.stringify(text)}, but must be ${choices.join(' or ')}`);
  }
  return choice;
}
