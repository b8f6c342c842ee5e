/** What a TypeScript source imports, as far as the shapes that this project uses go. */

export interface Import {
  readonly specifier: string;
  /** `import type`, or every name in it is a type: nothing of it is there at run time. */
  readonly typeOnly: boolean;
  /** Names in braces that are there at run time. */
  readonly names: readonly string[];
}

const STATEMENT = /^(?:import|export)\b([^'";]*?)\bfrom\s*'([^']+)'/gm;
const BARE = /^import\s*'([^']+)'/gm;
const DYNAMIC = /\b(?:import|require)\(\s*'([^']+)'\s*\)/g;
const CREATED = /createRequire\([^)]*\)\(\s*'([^']+)'\s*\)/g;

export function importsOf(source: string): Import[] {
  const text = withoutComments(source);
  const imports: Import[] = [];
  for (const [, names = '', specifier = ''] of text.matchAll(STATEMENT)) {
    imports.push({ specifier, typeOnly: isTypeOnly(names), names: valuesIn(names) });
  }
  for (const pattern of [BARE, DYNAMIC, CREATED]) {
    for (const [, specifier = ''] of text.matchAll(pattern))
      imports.push({ specifier, typeOnly: false, names: [] });
  }
  return imports;
}

/** Comments taken out, strings left alone. */
export function withoutComments(source: string): string {
  return source.replace(/'(?:[^'\\\n]|\\.)*'|\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, match =>
    match.startsWith('/') ? '' : match,
  );
}

function isTypeOnly(clause: string): boolean {
  return /^\s*type\b/.test(clause) || (/^\s*\{[^}]*\}\s*$/.test(clause) && valuesIn(clause).length === 0);
}

function valuesIn(clause: string): string[] {
  const braces = /\{([^}]*)\}/.exec(clause)?.[1] ?? '';
  const names = braces.split(',').map(name => name.trim());
  return names.filter(name => name !== '' && !name.startsWith('type '));
}
