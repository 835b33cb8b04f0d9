import type { Logger } from '../../observability/index.ts'
import { startWorker } from '../../onnx/index.ts'
import type { LocalEvent, LocalJob, LocalResult } from './job.ts'

/**
 * Trains without a mesh, in a worker thread of its own. With a checkpoint file, what was done before is gone on from,
 * and an interrupted run ends in the same bits as one that was not. Called off, it saves where it is within a second
 * (or a step, where that takes longer), and rejects.
 *
 * @throws OwmError `aborted`, `bad_data`, `bad_model`, `bad_optimizer`, `checkpoint_damaged`, `checkpoint_of_another_run`,
 *   `loss_not_finite`, `malformed_data`, `no_training_data`, `out_of_memory`, `runtime_failed`
 */
export async function trainLocally(
  { logger }: { readonly logger: Logger },
  job: LocalJob,
  { onEvent, signal }: { readonly onEvent?: (event: LocalEvent) => void; readonly signal?: AbortSignal } = {},
): Promise<LocalResult> {
  const worker = startWorker(new URL('./worker.ts', import.meta.url), { name: 'local training', logger })
  try {
    return await worker.call<LocalResult>('train', job, {
      signal,
      onEvent: (event) => onEvent?.(event as LocalEvent),
    })
  } finally {
    await worker.stop()
  }
}
