import * as assert from 'uvu/assert'
import { decodeTensors, encodeTensors } from '../../src/training/safetensors.ts'
import { suite } from '../suite.ts'

const test = suite('safetensors')

const file = {
  tensors: [
    { name: 'a', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 1e-45) },
    { name: 'nothing', shape: [0], data: new Float32Array() },
    { name: 'scalar', shape: [], data: Float32Array.of(-0) },
  ],
  metadata: { step: '12' },
}
const whole = () => Buffer.concat(encodeTensors(file))

test('what is written is read', () => {
  assert.equal(decodeTensors(whole()), file)
  const shifted = new Uint8Array(whole().length + 1)
  shifted.set(whole(), 1)
  assert.equal(decodeTensors(shifted.subarray(1)), file)
})

test('the bytes are those of the format', () => {
  const bytes = whole()
  const length = Number(bytes.readBigUInt64LE())
  assert.is(length % 8, 0)
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
  assert.equal(header.a, { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] })
  assert.equal(header.__metadata__, { step: '12' })
  assert.is(bytes.readFloatLE(8 + length + 4), 2)
})

test('damaged files are refused', () => {
  const bytes = whole()
  const refused = (damaged: Uint8Array) =>
    assert.throws(
      () => decodeTensors(damaged),
      (error: { code?: string }) => error.code === 'malformed_tensors',
    )
  for (let length = 0; length < bytes.length; length++) refused(bytes.subarray(0, length))
  refused(Buffer.concat([bytes, Buffer.of(0)]))
  const header = (json: string) => {
    const text = Buffer.from(json)
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(text.length))
    return Buffer.concat([size, text, Buffer.alloc(8)])
  }
  refused(header('[]'))
  refused(header('{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}'))
  refused(header('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}'))
  refused(header('{"a":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}}'))
  refused(header('{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,8]}}'))
  refused(Buffer.from('ffffffffffffffff', 'hex'))
})

test.run()
