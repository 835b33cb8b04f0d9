import { type Gpu, maxGpus, sane } from './nvidia-smi.ts'

/** One JSON object with an entry a card; memory in bytes, as strings. */
export const rocmArguments = ['--showproductname', '--showmeminfo', 'vram', '--json']

/** The key of the product's name changed its case over the versions; the model is a bare device number in newer ones. */
const nameKeys = ['Card Series', 'Card series', 'Device Name', 'Card Model', 'Card model']

/** The GPUs in rocm-smi's output, which may have warnings before the JSON. Anything else gives none. */
export function parseRocmSmi(output: string): Gpu[] {
  let cards: unknown
  try {
    cards = JSON.parse(output.slice(output.indexOf('{'), output.lastIndexOf('}') + 1))
  } catch {
    return []
  }
  if (typeof cards !== 'object' || cards === null) return []
  const gpus: Gpu[] = []
  for (const [card, fields] of Object.entries(cards)) {
    if (!/^card\d{1,4}$/.test(card) || typeof fields !== 'object' || fields === null) continue
    const entries = new Map<string, unknown>(Object.entries(fields))
    const named = nameKeys.map((key) => entries.get(key)).find((value) => typeof value === 'string' && isName(value))
    const total = entries.get('VRAM Total Memory (B)')
    const isCount = (typeof total === 'string' && /^\d{1,15}$/.test(total)) || typeof total === 'number'
    gpus.push({ name: typeof named === 'string' ? named : card, vramBytes: isCount ? sane(Number(total)) : 0 })
  }
  return gpus.slice(0, maxGpus)
}

function isName(value: string): boolean {
  return /^[\x20-\x7e]{1,128}$/.test(value) && value !== 'N/A' && !/^0x[0-9a-f]+$/i.test(value)
}
