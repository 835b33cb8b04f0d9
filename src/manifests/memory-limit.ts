/** A limit in a group above binds as much as one's own; deeper nesting than this is not looked at. */
const maxDepth = 16

/**
 * The files that may hold a memory limit for a process, from what `/proc/self/cgroup` says: version 2 (`0::/path`) and
 * version 1 (`n:memory:/path`), the process's group and all above it (cgroups(7)).
 */
export function cgroupLimitFiles(procSelfCgroup: string): string[] {
  const files: string[] = []
  for (const line of procSelfCgroup.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    const unified = controllers === ''
    if (!unified && !controllers.split(',').includes('memory')) continue
    const names = path.split('/').filter((name) => name !== '' && name !== '..')
    for (let depth = Math.min(names.length, maxDepth); depth >= 0; depth--) {
      const group = names.slice(0, depth).join('/')
      const folder = `/sys/fs/cgroup${unified ? '' : '/memory'}${group === '' ? '' : `/${group}`}`
      files.push(`${folder}/${unified ? 'memory.max' : 'memory.limit_in_bytes'}`)
    }
  }
  return files
}

/** The memory this process may use: what the machine has, or the lowest of the limits (`max` and absurd ones are none). */
export function usableMemory(totalBytes: number, limits: readonly string[]): number {
  const bounds = limits.map((text) => text.trim()).filter((text) => /^\d{1,20}$/.test(text))
  return Math.min(totalBytes, ...bounds.map(Number).filter((bytes) => bytes > 0))
}
