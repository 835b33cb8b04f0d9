import { errorMessage, OwmError } from '../../lib/index.ts'

/** Of a data file: which, where in it, what was wrong there and what to do. */
export function malformed(file: string, place: string, problem: string): OwmError {
  return new OwmError('malformed_data', `${file}${place === '' ? '' : `, ${place}`}: ${problem}`, { file, place })
}

/** What the file system says of a file or folder, with its name. */
export function unreadable(file: string, cause: unknown): OwmError {
  return new OwmError('unreadable_data', `${file} cannot be read: ${errorMessage(cause)}`, { file }, cause)
}

export function noData(message: string, details: Readonly<Record<string, unknown>> = {}): OwmError {
  return new OwmError('no_training_data', message, details)
}
