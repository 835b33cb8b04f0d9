import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CID } from 'multiformats/cid'
import { valueCid } from '../content/index.ts'
import { errorCode, OwmError } from '../lib/index.ts'
import type { AuditSource } from './audit.ts'
import { maxCertificateBytes, openCertificate } from './certificate.ts'
import { decodeManifest, maxCarriedBytes, maxManifestBytes, maxWeightsBytes, weightsFromBytes } from './checkpoint.ts'
import { keptUpdatesRounds, keptWeightsRounds } from './retention.ts'
import { maxRunBytes, openRun, type Run } from './specification.ts'
import type { Evaluation } from './statements.ts'
import { maxUpdateBytes } from './update-block.ts'

/**
 * A run in a folder: all that an audit reads, each value under its CID. No program of ours is needed to read it; see
 * docs/fl-protocol.md.
 */
export interface ExportFile {
  /** Relative, with slashes. */
  readonly path: string
  readonly bytes: Uint8Array
}

const specificationFile = 'specification.cbor'
const certificatePattern = /^(\d{6,7})\.cbor$/
const certificateFile = (round: number): string => `certificates/${String(round).padStart(6, '0')}.cbor`
const valueFile = (cid: CID | string): string => `values/${cid}`

/**
 * The files of a run: specification, certificates, the owner's last word, evaluations, the graph, the held-out text, the
 * newest checkpoint, and what the rounds are recomputed from, as far as it can be had.
 */
export async function* exportRun(
  source: AuditSource,
  control: Uint8Array | null,
  evaluations: readonly Evaluation[],
  signal: AbortSignal,
): AsyncIterable<ExportFile> {
  const { specification } = openRun(source.document)
  const newest = source.rounds
  // Later rounds are recomputed from this one's weights: from the initial ones while peers keep all updates.
  const start = newest > keptUpdatesRounds ? newest - keptWeightsRounds + 1 : 0
  const seen = new Set<string>()
  async function* value(cid: CID, maxBytes: number): AsyncIterable<ExportFile> {
    if (seen.has(cid.toString())) return
    seen.add(cid.toString())
    const bytes = await source.value(cid, { maxBytes, ask: true, signal })
    if (bytes !== null) yield { path: valueFile(cid), bytes }
  }
  async function* checkpoint(cid: CID): AsyncIterable<ExportFile> {
    for await (const manifest of value(cid, maxManifestBytes)) {
      yield manifest
      const { weights, size, carried } = decodeManifest(manifest.bytes)
      yield* value(CID.parse(weights), size)
      if (carried !== null) yield* value(CID.parse(carried), maxCarriedBytes)
    }
  }
  yield { path: specificationFile, bytes: source.document }
  if (control !== null) yield { path: 'control.cbor', bytes: control }
  for (const { round, document } of evaluations) {
    yield { path: `evaluations/${String(round).padStart(6, '0')}.cbor`, bytes: document }
  }
  yield* value(specification.graph, maxWeightsBytes)
  yield* value(specification.heldOut, maxWeightsBytes)
  yield* value(specification.initial, maxWeightsBytes)
  for (let round = 1; round <= newest; round++) {
    signal.throwIfAborted()
    const bytes = await source.certificate(round)
    if (bytes === null) continue
    yield { path: certificateFile(round), bytes }
    const certified = openCertificate(bytes).value
    if (round === newest || round === start) yield* checkpoint(CID.parse(certified.checkpoint))
    if (round <= start) continue
    for (const notice of certified.updates) yield* value(CID.parse(notice.update), maxUpdateBytes)
  }
}

/** An exported run, opened. */
export interface ExportedRun extends AuditSource {
  readonly id: string
  readonly name: string
  /** The ONNX forward graph. */
  readonly graph: CID
}

/** @throws OwmError `not_an_export`; RejectedError where the specification is not a signed run */
export async function openExport(folder: string): Promise<ExportedRun> {
  const document = await read(join(folder, specificationFile), maxRunBytes)
  if (document === null)
    throw new OwmError('not_an_export', `${folder} has no ${specificationFile}: it is no exported run.`)
  const run: Run = openRun(document)
  const names = await readdir(join(folder, 'certificates')).catch(() => [])
  const rounds = names.map((name) => Number(certificatePattern.exec(name)?.[1] ?? 0))
  return {
    id: run.id,
    name: run.specification.name,
    graph: run.specification.graph,
    document,
    rounds: Math.max(0, await roundsOf(folder), ...rounds),
    certificate: (round) => read(join(folder, certificateFile(round)), maxCertificateBytes),
    value: (cid, { maxBytes }) => read(join(folder, valueFile(cid)), maxBytes),
  }
}

/** The weights of an export's newest checkpoint; the initial ones before the first round. @throws OwmError `not_found`, `corrupt` */
export async function newestWeights(
  exported: ExportedRun,
  signal: AbortSignal,
): Promise<{ readonly round: number; readonly checkpoint: string; readonly weights: Float32Array }> {
  const { specification } = openRun(exported.document)
  const value = async (cid: CID, maxBytes: number): Promise<Uint8Array> => {
    const bytes = await exported.value(cid, { maxBytes, ask: true, signal })
    if (bytes === null) throw new OwmError('not_found', `${cid} is not in the export.`)
    if (!valueCid(bytes).equals(cid)) throw new OwmError('corrupt', `The bytes of ${cid} have changed.`)
    return bytes
  }
  const certificate = exported.rounds === 0 ? null : await exported.certificate(exported.rounds)
  if (certificate === null) {
    const weights = weightsFromBytes(await value(specification.initial, maxWeightsBytes))
    return { round: 0, checkpoint: specification.initial.toString(), weights }
  }
  const { round, checkpoint } = openCertificate(certificate).value
  const manifest = decodeManifest(await value(CID.parse(checkpoint), maxManifestBytes))
  return { round, checkpoint, weights: weightsFromBytes(await value(CID.parse(manifest.weights), manifest.size)) }
}

/** How many rounds the export said to have: a certificate that was taken away is missed. */
async function roundsOf(folder: string): Promise<number> {
  const bytes = await read(join(folder, 'run.json'), maxRunBytes)
  if (bytes === null) return 0
  try {
    const { certifiedRounds } = JSON.parse(Buffer.from(bytes).toString()) as { certifiedRounds?: unknown }
    return Number.isSafeInteger(certifiedRounds) && Number(certifiedRounds) <= 1_000_000 ? Number(certifiedRounds) : 0
  } catch {
    return 0
  }
}

async function read(path: string, maxBytes: number): Promise<Uint8Array | null> {
  try {
    const { size } = await stat(path)
    if (size > maxBytes) throw new OwmError('oversized', `${path} has ${size} bytes; it takes at most ${maxBytes}.`)
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
}
