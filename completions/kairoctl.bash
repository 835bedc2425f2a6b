# bash completion for kairoctl: commands, options, the values of options, and the ids of sessions.
# Install as /usr/share/bash-completion/completions/kairoctl, or: source <(kairoctl completion bash)

_kairoctl_commands="spawn run attach logs write close-stdin wait status explain ps kill pause resume cancel forget events
audit metrics devices policy control topology ping info introspect kernel completion"
_kairoctl_globals="--socket --no-autostart --reconnect --state-dir --any-owner --correlation-id --table --help"
_kairoctl_program="--id --cwd --env --clean-env --label --replace --stdin --timeout --kill-grace --retain --when-full
--on-owner-exit --detach-descendants --limits-best-effort"
_kairoctl_bounds="--cpus --memory --pids-limit --limit --allow-read --allow-write --net --connect-tcp --bind-tcp --ipc
--profile"

_kairoctl_topology="up status list cutover down logs graph check schema"

# What follows the name of a topology's command: options, files, names and nodes.
_kairoctl_topology_options() {
  case $1 in
    up) echo "--file --name --cwd --check" ;;
    status) echo "--wait" ;;
    cutover) echo "--boundary --drain-timeout --health-timeout --module --params --env" ;;
    down) echo "--drain-timeout" ;;
    logs) echo "--follow --tail" ;;
    graph) echo "--file" ;;
  esac
}

_kairoctl_topology_words() {
  local command=$1 number=$2
  case $command:$number in
    status:1 | cutover:1 | down:1 | logs:1 | graph:1)
      kairoctl "${socket[@]}" --no-autostart topology list 2> /dev/null | sed 's/.*"name":"\([^"]*\)".*/\1/' ;;
    cutover:2 | logs:2)
      kairoctl "${socket[@]}" --no-autostart --table topology status "$3" 2> /dev/null | sed '1d; s/ .*//' ;;
  esac
}

_kairoctl_options() {
  case $1 in
    spawn) echo "$_kairoctl_program $_kairoctl_bounds --stdout --stderr" ;;
    run) echo "$_kairoctl_program $_kairoctl_bounds --rm --tty --no-tty --interactive" ;;
    attach) echo "--from --stream --lossless --line --json" ;;
    logs) echo "--follow --timestamps --since --tail --stream" ;;
    write) echo "--offset --close" ;;
    wait) echo "--timeout" ;;
    policy) echo "$_kairoctl_bounds" ;;
    status) echo "--metrics" ;;
    metrics) echo "--kernel --prometheus" ;;
    ps) echo "--all --quiet --status --label --owner" ;;
    kill) echo "--signal --scope --escalate-after" ;;
    cancel) echo "--reason --grace" ;;
    events) echo "--follow --since --topic --correlation --count" ;;
    audit) echo "--since --until --principal --method --newest --follow" ;;
      devices) echo "--process --subsystem --type" ;;
    control) echo "--control-socket --node --interval --topic --stdin --no-ack --count" ;;
    kernel) echo "--processes" ;;
    "") echo "--version" ;;
  esac
}

# Options whose value is the next word. $2: the command, as far as it is known.
_kairoctl_takes_value() {
  if [[ $1 == --stdin && ${2-} == control ]]; then return 1; fi
  case $1 in
    --socket | --reconnect | --state-dir | --correlation-id | --id | --cwd | -e | --env | --label | --stdin | --stdout | --stderr | \
      --timeout | --kill-grace | --retain | --when-full | --on-owner-exit | --cpus | --memory | --pids-limit | --limit | --from | --stream | --since | --tail | \
      --offset | --status | --owner | -s | --signal | --scope | --escalate-after | --reason | --grace | --topic | --correlation | \
      --count | --file | --name | --boundary | --drain-timeout | --health-timeout | --module | --params | --until | --principal | --method | --newest | --processes | --process | --subsystem | --type | \
      --control-socket | --node | --interval | \
      --allow-read | --allow-write | --net | --connect-tcp | --bind-tcp | --ipc | --profile) return 0 ;;
    -l | -n) return 0 ;;
  esac
  return 1
}

_kairoctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local command="" at=0 i socket=() words=()
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    local word=${COMP_WORDS[i]}
    if [[ $word == --socket ]]; then socket=(--socket "${COMP_WORDS[i + 1]}"); fi
    if _kairoctl_takes_value "$word" "$command"; then
      i=$((i + 1))
    elif [[ $word != -* && -z $command ]]; then
      command=$word at=$i
    elif [[ $word == -f && $command == topology && (${words[0]} == up || ${words[0]} == graph) ]]; then
      i=$((i + 1))
    elif [[ $word != -* && $command == topology ]]; then
      words+=("$word")
    elif [[ ($word != -* || $word == --) && ($command == spawn || $command == run) ]]; then
      # The program's own words: complete them as for the program itself.
      if [[ $word == -- ]]; then i=$((i + 1)); fi
      if declare -F _command_offset > /dev/null && ((i < COMP_CWORD)); then _command_offset "$i"; return; fi
      ((i < COMP_CWORD)) && { compopt -o default; return; }
    fi
  done

  case $prev in
    --stdin | --stdout) [[ $command == control ]] || { COMPREPLY=($(compgen -W "pipe null" -- "$cur")); return; } ;;
    --stderr) COMPREPLY=($(compgen -W "pipe stdout null" -- "$cur")); return ;;
    --stream) COMPREPLY=($(compgen -W "stdout stderr" -- "$cur")); return ;;
    --when-full) COMPREPLY=($(compgen -W "drop-oldest block" -- "$cur")); return ;;
    --net) COMPREPLY=($(compgen -W "none private all" -- "$cur")); return ;;
    --ipc) COMPREPLY=($(compgen -W "none kernel all" -- "$cur")); return ;;
    --profile) COMPREPLY=($(compgen -W "read-only workspace offline unconfined" -- "$cur")); return ;;
    --on-owner-exit) COMPREPLY=($(compgen -W "keep kill" -- "$cur")); return ;;
    --processes) COMPREPLY=($(compgen -W "keep stop" -- "$cur")); return ;;
    --process) COMPREPLY=($(compgen -W "$(kairoctl "${socket[@]}" --no-autostart ps --quiet 2> /dev/null)" -- "$cur")); return ;;
    --boundary) COMPREPLY=($(compgen -W "bytes line" -- "$cur")); return ;;
    --module)
      COMPREPLY=($(compgen -W "passthrough uppercase tee meter rate-limit filter-lines file-source file-sink count" -- "$cur"))
      return ;;
    --file) compopt -o default; return ;;
    -f) if [[ ${words[0]} == up || ${words[0]} == graph ]]; then compopt -o default; return; fi ;;
    --from) COMPREPLY=($(compgen -W "start end" -- "$cur")); return ;;
    --status) COMPREPLY=($(compgen -W "running exited killed" -- "$cur")); return ;;
    --scope) COMPREPLY=($(compgen -W "group main all" -- "$cur")); return ;;
    -s | --signal) COMPREPLY=($(compgen -A signal -- "$cur")); return ;;
    --socket | --control-socket | --allow-read | --allow-write) compopt -o default; return ;;
    --cwd | --state-dir) compopt -o dirnames; return ;;
  esac
  if _kairoctl_takes_value "$prev" "$command"; then return; fi

  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "$_kairoctl_commands $_kairoctl_globals $(_kairoctl_options "")" -- "$cur"))
  elif [[ $command == topology && ${#words[@]} -gt 0 && $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(_kairoctl_topology_options "${words[0]}") $_kairoctl_globals" -- "$cur"))
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(_kairoctl_options "$command") $_kairoctl_globals" -- "$cur"))
  else
    local ids="kairoctl ${socket[*]} --no-autostart ps --quiet"
    case $command in
      spawn | run) COMPREPLY=($(compgen -c -- "$cur")) ;;
      policy) COMPREPLY=($(compgen -W "test" -- "$cur")) ;;
      audit) COMPREPLY=($(compgen -W "verify" -- "$cur")) ;;
      devices) COMPREPLY=($(compgen -W "list claim release" -- "$cur")) ;;
      control) COMPREPLY=($(compgen -W "run heartbeat ack publish listen" -- "$cur")) ;;
      kernel) COMPREPLY=($(compgen -W "info stop upgrade" -- "$cur")) ;;
      topology)
        if [[ ${#words[@]} -eq 0 ]]; then
          COMPREPLY=($(compgen -W "$_kairoctl_topology" -- "$cur"))
        elif [[ ${words[0]} == check ]]; then
          compopt -o default
        else
          COMPREPLY=($(compgen -W "$(_kairoctl_topology_words "${words[0]}" "${#words[@]}" "${words[1]}")" -- "$cur"))
        fi ;;
      completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$cur")) ;;
      write | close-stdin | kill | pause | resume | cancel)
        COMPREPLY=($(compgen -W "$($ids 2> /dev/null)" -- "$cur")) ;;
      attach | logs | wait | status | explain | forget)
        COMPREPLY=($(compgen -W "$($ids --all 2> /dev/null)" -- "$cur")) ;;
    esac
  fi
}

complete -F _kairoctl kairoctl
