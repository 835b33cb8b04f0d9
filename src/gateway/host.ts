import { BlockList, isIP } from 'node:net'
import { OwmError } from '../lib/index.ts'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/**
 * Against DNS rebinding: over a loopback connection only names that mean this machine are answered, so that a web page
 * whose name is made to point at 127.0.0.1 cannot read from a gateway on the reader's own machine. Connections to any
 * other address come from a network that the operator opened the gateway to, and are answered under every name.
 *
 * @throws OwmError `foreign_host`
 */
export function checkHost(
  host: string | undefined,
  localAddress: string | undefined,
  allowed: readonly string[],
): void {
  if (localAddress === undefined || !isLoopback(localAddress.replace(/^::ffff:/i, ''))) return
  const name = hostName(host ?? '')
  if (name === 'localhost' || name.endsWith('.localhost') || isLoopback(name)) return
  if (allowed.some((other) => other.toLowerCase() === name)) return
  throw new OwmError('foreign_host', 'This peer is not known by that host name; ask for 127.0.0.1 or localhost.')
}

/** `[::1]:8080` -> `::1`, `Localhost:80` -> `localhost`. */
function hostName(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(host)
  return (bracketed?.[1] ?? host.replace(/:\d*$/, '')).toLowerCase()
}

function isLoopback(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && loopback.check(address, family === 6 ? 'ipv6' : 'ipv4')
}
