import { Command, CommanderError } from 'commander'
import { errorCode, errorMessage, exitCodes, OwmError } from '../lib/index.ts'
import { registerAsk } from './ask.ts'
import { registerBootstrap } from './bootstrap.ts'
import { registerCompletion } from './completion.ts'
import { registerData } from './data.ts'
import { registerDevnet } from './devnet/index.ts'
import { registerDoctor } from './doctor.ts'
import { exitCodeOf } from './exit.ts'
import { registerInit } from './init.ts'
import { registerMesh } from './mesh.ts'
import { registerModel } from './model.ts'
import { registerPeer } from './peer.ts'
import { registerRun } from './run.ts'
import { registerSim } from './sim.ts'
import { createTerminal } from './terminal.ts'
import { registerTrain } from './train.ts'

/** The whole command tree; each command's file says what it does. */
export function createProgram(): Command {
  const program = new Command('owm')
    .description('The Open World Model: a distributed AI that no one owns.')
    .version('0.1.0')
    .showHelpAfterError('(owm <command> --help says more)')
    .exitOverride()
  for (const register of [
    registerDevnet,
    registerInit,
    registerPeer,
    registerMesh,
    registerTrain,
    registerRun,
    registerModel,
    registerData,
    registerAsk,
    registerBootstrap,
    registerSim,
    registerDoctor,
    registerCompletion,
  ]) {
    register(program)
  }
  return program
}

/** Runs the command line and ends the process with a meaningful code. */
export async function main(args: readonly string[]): Promise<void> {
  const json = args.includes('--json')
  process.stdout.on('error', leaveQuietly)
  process.stderr.on('error', leaveQuietly)
  try {
    await createProgram().parseAsync([...args], { from: 'user' })
    process.exit(process.exitCode ?? exitCodes.ok)
  } catch (error) {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage)
    const terminal = createTerminal({ json })
    if (json) terminal.result({ error: { code: errorCode(error), message: errorMessage(error) } }, () => '')
    else terminal.say(`owm: ${errorMessage(error)}`)
    // A fault of ours, not of the user's: the stack helps whoever mends it.
    if (!(error instanceof OwmError) && process.env['OWM_DEBUG'] !== undefined) console.error(error)
    process.exit(exitCodeOf(error))
  }
}

/** `owm peer peers | head -1` closes the pipe early; that is no error. */
function leaveQuietly(error: NodeJS.ErrnoException): void {
  process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.ioError)
}
