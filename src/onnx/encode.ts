/** Writes ONNX files (onnx.proto3, IR version 9, or 10 for packed tensors). The numbers are its field numbers. */

import {
  type Attribute,
  elementTypes,
  type Graph,
  irVersion,
  type Model,
  type Node,
  type PackedTensor,
  packedIrVersion,
  packedOpset,
  packedTypes,
  type Tensor,
  type ValueInfo,
} from './model.ts'
import { bytesField, floatField, type Rope, ropeBytes, stringField, varintField } from './protobuf.ts'

/** ONNX's `AttributeProto.AttributeType`. */
export const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const

const dataTypes = { ...elementTypes, ...packedTypes } as const

export function encodeModel(model: Model): Uint8Array {
  return ropeBytes([
    varintField(1, model.opset < packedOpset ? irVersion : packedIrVersion),
    stringField(2, 'owm'),
    bytesField(7, graphRope(model.graph)),
    bytesField(8, [stringField(1, ''), varintField(2, model.opset)]),
  ])
}

function graphRope(graph: Graph): Rope {
  return [
    graph.nodes.map((node) => bytesField(1, nodeRope(node))),
    stringField(2, graph.name),
    [...graph.initializers].map(([name, tensor]) => bytesField(5, tensorRope(tensor, name))),
    [...(graph.packed ?? [])].map(([name, tensor]) => bytesField(5, tensorRope(tensor, name))),
    graph.inputs.map((value) => bytesField(11, valueRope(value))),
    graph.outputs.map((value) => bytesField(12, valueRope(value))),
  ]
}

function nodeRope(node: Node): Rope {
  return [
    node.inputs.map((name) => stringField(1, name)),
    node.outputs.map((name) => stringField(2, name)),
    stringField(3, node.name),
    stringField(4, node.op),
    Object.entries(node.attributes).map(([name, attribute]) => bytesField(5, attributeRope(name, attribute))),
  ]
}

function attributeRope(name: string, attribute: Attribute): Rope {
  const content = (): Rope => {
    switch (attribute.kind) {
      case 'float':
        return floatField(2, attribute.value)
      case 'int':
        return varintField(3, attribute.value)
      case 'string':
        return stringField(4, attribute.value)
      case 'tensor':
        return bytesField(5, tensorRope(attribute.value, ''))
      case 'graph':
        return bytesField(6, graphRope(attribute.value))
      case 'floats':
        return attribute.value.map((value) => floatField(7, value))
      case 'ints':
        return attribute.value.map((value) => varintField(8, value))
      case 'strings':
        return attribute.value.map((value) => stringField(9, value))
    }
  }
  return [stringField(1, name), content(), varintField(20, attributeTypes[attribute.kind])]
}

function tensorRope(tensor: Tensor | PackedTensor, name: string): Rope {
  return [
    tensor.shape.map((size) => varintField(1, size)),
    varintField(2, dataTypes[tensor.type]),
    stringField(8, name),
    bytesField(9, tensor.data),
  ]
}

function valueRope(value: ValueInfo): Rope {
  const dimensions = value.shape.map((size) =>
    bytesField(1, typeof size === 'number' ? varintField(1, size) : stringField(2, size)),
  )
  const tensorType = [varintField(1, elementTypes[value.type]), bytesField(2, dimensions)]
  return [stringField(1, value.name), bytesField(2, bytesField(1, tensorType))]
}
