import { exitCodes, OwmError, sleep, withTimeout } from '../lib/index.ts'
import { createPeer } from '../node.ts'
import { createLogger } from '../observability/index.ts'
import { giveMemoryBack } from './memory.ts'
import { readSettings, type SettingsOptions } from './settings.ts'
import { createTerminal } from './terminal.ts'

/** A graceful stop flushes and says goodbye to the mesh; longer than this and something hangs. */
const stopTimeoutMs = 20_000
const pollMs = 50

/** Runs a peer until a signal, `owm peer stop`, or (if asked) the end of standard input. */
export async function runPeer(
  role: 'peer' | 'bootstrap',
  options: SettingsOptions & { readonly untilStdinCloses?: boolean },
  named: Readonly<Record<string, unknown>>,
): Promise<void> {
  const config = readSettings(options, named)
  const terminal = createTerminal({ json: options.json === true })
  const format = config.log.format === 'auto' ? (process.stderr.isTTY ? 'text' : 'json') : config.log.format
  const logger = createLogger({ level: config.log.level, format })
  const interrupt = Promise.withResolvers<void>()
  let signals = 0
  const onSignal = (): void => {
    signals++
    if (signals > 1) process.exit(exitCodes.interrupted)
    interrupt.resolve()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  // What nobody caught is a fault of ours: said, and the process ends rather than limp on.
  const onFault = (error: unknown): void => {
    logger.error(
      { error: error instanceof Error ? (error.stack ?? error.message) : String(error) },
      'an unexpected fault; the peer stops',
    )
    process.exit(exitCodes.internal)
  }
  process.on('uncaughtException', onFault).on('unhandledRejection', onFault)
  if (options.untilStdinCloses === true) process.stdin.on('end', onSignal).on('error', onSignal).resume()

  const peer = await createPeer(config, { role, logger })
  await peer.start().catch(async (error) => {
    await peer.stop()
    throw error
  })
  const { facts } = peer
  logger.info(
    { peer: peer.id, mesh: facts.mesh.id, addresses: peer.addresses(), http: peer.httpAddress() },
    peer.createdIdentity ? 'peer started with a new identity' : 'peer started',
  )
  terminal.result({ peer: peer.id, mesh: facts.mesh.id, addresses: peer.addresses(), http: peer.httpAddress() }, () =>
    [
      `${role === 'bootstrap' ? 'bootstrap peer' : 'peer'} ${peer.id}`,
      `mesh   ${facts.mesh.parameters.name} (${facts.mesh.id})`,
      ...peer.addresses().map((address) => `listen ${address}`),
      `http   http://${peer.httpAddress()}${facts.gateway ? '' : '/health'}`,
    ].join('\n'),
  )
  const stopGiving = giveMemoryBack()
  await Promise.race([interrupt.promise, peer.stopRequested])
  stopGiving()
  logger.info({}, 'stopping; press Ctrl-C again to stop at once')
  const late = setTimeout(() => {
    logger.error({}, `not stopped after ${stopTimeoutMs / 1000} s; ending anyway`)
    process.exit(exitCodes.failed)
  }, stopTimeoutMs)
  await peer.stop()
  clearTimeout(late)
}

/** Waits until a process is gone. @throws OwmError `timeout` */
export async function waitForExit(pid: number): Promise<void> {
  const signal = withTimeout(stopTimeoutMs + 2_000)
  for (;;) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await sleep(pollMs, signal).catch(() => {
      throw new OwmError(
        'timeout',
        `The peer (pid ${pid}) is still there after ${stopTimeoutMs / 1000} s; kill it with: kill -9 ${pid}`,
      )
    })
  }
}
