import type { Command } from 'commander'
import { OwmError } from '../lib/index.ts'

export function registerCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for your shell')
    .argument('<shell>', 'bash or zsh')
    .addHelpText('after', '\nbash:  source <(owm completion bash)\nzsh:   source <(owm completion zsh)')
    .action((shell: string) => {
      if (shell !== 'bash' && shell !== 'zsh') {
        throw new OwmError('bad_usage', `There is no completion for ${shell}; take bash or zsh.`)
      }
      process.stdout.write(
        shell === 'bash' ? bashScript(program) : `autoload -U +X bashcompinit && bashcompinit\n${bashScript(program)}`,
      )
    })
}

/** One `case` line for each command: the words that may follow it. */
function bashScript(program: Command): string {
  const lines = wordsAfter(program, '').map(([path, words]) => `    "${path}") words="${words.join(' ')}" ;;`)
  return `_owm() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${lines.join('\n')}
  esac
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current")); else COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o default -F _owm owm
`
}

function wordsAfter(command: Command, path: string): [string, string[]][] {
  const options = command.options.flatMap((option) =>
    option.long === undefined || option.long === null ? [] : [option.long],
  )
  const words = [...command.commands.map((child) => child.name()), ...options, '--help']
  return [
    [path, words],
    ...command.commands.flatMap((child) => wordsAfter(child, path === '' ? child.name() : `${path} ${child.name()}`)),
  ]
}
