import { errorCode, exitCodes, OwmError } from '../lib/index.ts'

/** What a script can tell from the exit code; `docs/node-setup.md` lists them. */
const byErrorCode: Readonly<Record<string, number>> = {
  aborted: exitCodes.interrupted,
  bad_config: exitCodes.badConfig,
  bad_data: exitCodes.badInput,
  bad_model: exitCodes.badInput,
  checkpoint_damaged: exitCodes.badInput,
  checkpoint_of_another_run: exitCodes.badInput,
  folder_in_use: exitCodes.cannotCreate,
  bad_usage: exitCodes.usage,
  oversized: exitCodes.badInput,
  external_data: exitCodes.badInput,
  no_gradient: exitCodes.badInput,
  unsupported_model: exitCodes.badInput,
  malformed_model: exitCodes.badInput,
  bad_run: exitCodes.badInput,
  malformed_data: exitCodes.badInput,
  no_training_data: exitCodes.badInput,
  unreadable_data: exitCodes.badInput,
  data_dir_corrupt: exitCodes.badInput,
  data_dir_locked: exitCodes.cannotCreate,
  data_dir_newer: exitCodes.badConfig,
  data_dir_not_a_folder: exitCodes.cannotCreate,
  data_dir_read_only: exitCodes.noPermission,
  journal_corrupt: exitCodes.badInput,
  journal_unusable: exitCodes.ioError,
  data_dir_unusable: exitCodes.ioError,
  disk_full: exitCodes.ioError,
  ENOSPC: exitCodes.ioError,
  EACCES: exitCodes.noPermission,
  EROFS: exitCodes.noPermission,
  identity_corrupt: exitCodes.badInput,
  identity_exposed: exitCodes.noPermission,
  invitation_damaged: exitCodes.badInput,
  invitation_foreign: exitCodes.badInput,
  invitation_truncated: exitCodes.badInput,
  invitation_version: exitCodes.badInput,
  identity_unreadable: exitCodes.noPermission,
  identity_unwritable: exitCodes.noPermission,
  no_checkpoint: exitCodes.unavailable,
  not_running: exitCodes.unavailable,
  port_in_use: exitCodes.unavailable,
  timeout: exitCodes.unavailable,
}

export function exitCodeOf(error: unknown): number {
  const code = errorCode(error)
  return byErrorCode[code] ?? (error instanceof OwmError ? exitCodes.failed : exitCodes.internal)
}
