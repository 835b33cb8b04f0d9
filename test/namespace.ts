import { spawnSync } from 'node:child_process'

/** A network namespace of one host: its ports are all free, and its multicast goes nowhere else. */
export interface Namespace {
  /** What to put before a command to run it inside. */
  readonly inside: readonly string[]
  remove(): void
}

/** Undefined where namespaces are not permitted, or iproute2 is missing. */
export function makeNamespace(purpose: string): Namespace | undefined {
  const name = `owm-${purpose}-${process.pid}`
  const ip = (...args: string[]): boolean => spawnSync('ip', args).status === 0
  const remove = (): void => void ip('netns', 'del', name)
  const made =
    ip('netns', 'add', name) &&
    ip('-n', name, 'link', 'set', 'lo', 'up') &&
    ip('-n', name, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1') &&
    ip('-n', name, 'addr', 'add', '10.77.0.1/24', 'dev', 'lan0') &&
    ip('-n', name, 'link', 'set', 'lan0', 'up') &&
    ip('-n', name, 'link', 'set', 'lan1', 'up') &&
    ip('-n', name, 'route', 'add', '224.0.0.0/4', 'dev', 'lan0')
  if (!made) {
    remove()
    return undefined
  }
  process.once('exit', remove)
  return { inside: ['ip', 'netns', 'exec', name], remove }
}
