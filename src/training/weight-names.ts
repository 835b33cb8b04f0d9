/**
 * Names for weights that an exporter folded (turned a matrix round, joined a normalisation to a convolution) and then
 * only numbered: `onnx::MatMul_275`, `val_8`. The node that uses one knows the part of the model it came from.
 */
import type { Graph } from '../onnx/index.ts'

const numbered = /^(onnx::\w+|val)_\d+$/
const roles: Readonly<Record<string, readonly (string | undefined)[]>> = {
  MatMul: [undefined, 'weight'],
  Gemm: [undefined, 'weight', 'bias'],
  Conv: [undefined, 'weight', 'bias'],
  ConvTranspose: [undefined, 'weight', 'bias'],
  LSTM: [undefined, 'input', 'recurrent', 'bias'],
  GRU: [undefined, 'input', 'recurrent', 'bias'],
  RNN: [undefined, 'input', 'recurrent', 'bias'],
}
/** What a norm that is made of other operators ends with, its scale and shift brought to the shape of channels. */
const rolesInNorms: typeof roles = { Mul: [undefined, 'weight'], Add: [undefined, 'bias'] }

/** Better names, by the file's. `scopes` are the parts of the model, by node. */
export function weightNames(
  { nodes, initializers }: Graph,
  scopes: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  const taken = new Set([...initializers.keys()])
  for (const { op, name, inputs } of nodes) {
    inputs.forEach((input, at) => {
      const scope = scopes.get(name) ?? name
      const role = roles[op]?.[at] ?? (/_norm(_\d+)?'\]$/.test(scope) ? rolesInNorms[op]?.[at] : undefined)
      const part = partOf(scope)
      if (role === undefined || part === '' || !numbered.test(input) || !initializers.has(input)) return
      const better = `${part}.${role}`
      if (names.has(input) || taken.has(better)) return
      names.set(input, better)
      taken.add(better)
    })
  }
  return names
}

/** `/blocks.0/qkv/MatMul`, or the list `['', 'blocks.0', 'blocks.0.qkv', 'linear']`: `blocks.0.qkv`. */
function partOf(scope: string): string {
  if (scope.startsWith('[')) return [...scope.matchAll(/'([^']*)'/g)].at(-2)?.[1] ?? ''
  return scope.startsWith('/') ? scope.split('/').slice(1, -1).join('.') : ''
}
