/**
 * The part of the Reflect metadata API that tsyringe, the injector inside @peculiar/x509, asks for: it refuses to
 * load without. Import this before @peculiar/x509.
 *
 * The API (https://rbuckton.github.io/reflect-metadata/) never became part of the language. The polyfills that exist
 * bring all of it for every class; here three functions are asked for, and two classes have metadata at all.
 */

type Key = string | symbol;

const store = new WeakMap<object, Map<Key, unknown>>();

function getOwnMetadata(key: Key, target: object): unknown {
  return store.get(target)?.get(key);
}

function getMetadata(key: Key, target: object): unknown {
  for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at)) {
    const own = store.get(at);
    if (own?.has(key)) return own.get(key);
  }
  return undefined;
}

function defineMetadata(key: Key, value: unknown, target: object): void {
  const own = store.get(target) ?? new Map<Key, unknown>();
  store.set(target, own.set(key, value));
}

/** The decorator that compiled code calls for `design:paramtypes` and the like. */
function metadata(key: Key, value: unknown): (target: object) => void {
  return target => defineMetadata(key, value, target);
}

// A polyfill loaded before this one stays in place.
for (const implementation of [getOwnMetadata, getMetadata, defineMetadata, metadata]) {
  if (implementation.name in Reflect) continue;
  Object.defineProperty(Reflect, implementation.name, {
    value: implementation,
    configurable: true,
    writable: true,
  });
}
