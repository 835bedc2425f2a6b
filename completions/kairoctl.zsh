#compdef kairoctl
# zsh completion for kairoctl: commands, options, the values of options, and the ids of sessions.
# Install as _kairoctl in a directory of $fpath, or: source <(kairoctl completion zsh)

_kairoctl_ids() {
  local -a where ids
  [[ -n ${opt_args[--socket]} ]] && where=(--socket ${opt_args[--socket]})
  ids=(${(f)"$(kairoctl $where --no-autostart ps --quiet "$@" 2>/dev/null)"})
  compadd -a ids
}
_kairoctl_running() { _kairoctl_ids }
_kairoctl_all() { _kairoctl_ids --all }

_kairoctl_topologies() {
  local -a where names
  [[ -n ${opt_args[--socket]} ]] && where=(--socket ${opt_args[--socket]})
  names=(${(f)"$(kairoctl $where --no-autostart topology list 2>/dev/null | sed 's/.*"name":"\([^"]*\)".*/\1/')"})
  compadd -a names
}
_kairoctl_nodes() {
  local -a where names
  [[ -n ${opt_args[--socket]} ]] && where=(--socket ${opt_args[--socket]})
  names=(${(f)"$(kairoctl $where --no-autostart --table topology status $line[1] 2>/dev/null | sed '1d; s/ .*//')"})
  compadd -a names
}
_kairoctl_topology() {
  local context state state_descr line
  typeset -A opt_args
  local -a actions
  actions=(
    'up:start what a file declares'
    'status:print a topology, its nodes and its connections'
    'list:list topologies'
    "cutover:put another node in a node's place"
    'down:end a topology'
    'logs:print what its nodes have written to standard error'
    'graph:print it as a graph'
    'check:say whether a file is good'
    'schema:print the JSON Schema of such a file'
  )
  _arguments -C $globals '1: :->action' '*:: :->rest' && return 0
  if [[ $state == action ]]; then
    _describe 'action' actions
    return
  fi
  case $line[1] in
    up)
      _arguments $globals '(-f --file)'{-f,--file}'[YAML or JSON that declares it]:file:_files' \
        "--name[name, instead of the file's]:name:" '--cwd[working directory of its nodes]:directory:_directories' \
        '--check[only say whether the file is good]' ;;
    status) _arguments $globals '--wait[wait until it has ended]' '1:topology:_kairoctl_topologies' ;;
    cutover)
      _arguments -S $globals '--boundary[where its input is cut]:kind:(bytes line)' \
        '--drain-timeout[how long the rest may take]:duration:' \
        '--health-timeout[how long the new node may take]:duration:' \
        '--module[run this module in its place]:module:(passthrough uppercase tee meter rate-limit filter-lines file-source file-sink count)' \
        '--params[parameters of the module, JSON]:json:' '*'{-e,--env}'[variables]:KEY=VALUE:' \
        '1:topology:_kairoctl_topologies' '2:node:_kairoctl_nodes' '*::program:_normal' ;;
    down)
      _arguments $globals '--drain-timeout[how long the rest may take]:duration:' '1:topology:_kairoctl_topologies' ;;
    logs)
      _arguments $globals '(-f --follow)'{-f,--follow}'[go on with what comes]' \
        '(-n --tail)'{-n,--tail}'[only the last lines]:lines:' '1:topology:_kairoctl_topologies' '2:node:_kairoctl_nodes' ;;
    graph)
      _arguments $globals '(-f --file)'{-f,--file}'[YAML or JSON that declares one]:file:_files' \
        '1:topology:_kairoctl_topologies' ;;
    check) _arguments $globals '1:file:_files' ;;
    *) _arguments $globals ;;
  esac
}

_kairoctl() {
  local context state state_descr line
  typeset -A opt_args
  local -a globals program bounds commands
  globals=(
    '--socket[socket of the daemon]:socket:_files'
    '--no-autostart[do not start a daemon when none answers]'
    '--reconnect[how long a daemon that went away is sought]:duration:'
    '--state-dir[state directory of a daemon that is started]:directory:_directories'
    '--any-owner[talk to a daemon that runs as another user]'
    '--correlation-id[mark what follows from this command]:id:'
    '--table[print a table instead of JSON]'
    '(-h --help)'{-h,--help}'[print help]'
  )
  program=(
    '--id[name of the session]:id:'
    '--cwd[working directory]:directory:_directories'
    '*'{-e,--env}'[set a variable]:KEY=VALUE:'
    '--clean-env[do not pass the environment]'
    '*'{-l,--label}'[attach a label]:KEY=VALUE:'
    '--replace[take over the id of an ended session]'
    '--stdin[standard input]:kind:(pipe null)'
    '--timeout[terminate it after so long]:duration:'
    '--kill-grace[from SIGTERM to SIGKILL]:duration:'
    '--retain[bytes that each log keeps]:size:'
    '--when-full[what a full log does]:rule:(drop-oldest block)'
    '--on-owner-exit[what the end of this client does to it]:rule:(keep kill)'
    '--detach-descendants[let its descendants outlive it]'
    '--limits-best-effort[run it also where some cannot be set]'
  )
  bounds=(
    '--cpus[cores that it may use]:cores:'
    {-m,--memory}'[memory that it may use]:size:'
    '--pids-limit[processes and threads that it may be]:number:'
    '*--limit[a limit by its name]:NAME=VALUE:(cpu= memory= pids= openFiles= cpuSeconds= fileSize= wallMs=)'
    '*--allow-read[confine it; let it read below a path]:path:_files'
    '*--allow-write[confine it; let it change what is below a path]:path:_files'
    '--net[confine it; network]:access:(none private all)'
    '*--connect-tcp[confine it; let it connect to a TCP port]:port:'
    '*--bind-tcp[confine it; let it listen on a TCP port]:port:'
    '--ipc[confine it; Unix sockets and System V IPC]:access:(none kernel all)'
    '--profile[confine it by a profile]:name:(read-only workspace offline unconfined)'
  )
  commands=(
    'spawn:start a program and leave it alone'
    'run:run a program as if it were run here'
    "attach:follow a session's output"
    'logs:print what a session has written'
    "write:write to a session's standard input"
    "close-stdin:end a session's standard input"
    'wait:wait until sessions have ended'
    'status:print sessions'
    "explain:say what a session's permissions cover, or what it was denied"
    'ps:list sessions'
    'kill:send a signal'
    'pause:stop sessions where they are'
    'resume:let paused sessions go on'
    'cancel:terminate sessions, with a reason'
    'forget:remove ended sessions and their logs'
    'events:print events: those stored, or with -f those to come'
    'audit:print who asked for what; verify that no record was changed'
    'metrics:print the state of the machine'
    "policy:ask what the policy says to a call"
    "devices:list the machine's devices, claim and release them"
    'control:speak for a node of a topology'
    'topology:run what a file declares'
    'ping:ask whether the daemon answers'
    "info:print the daemon's version, limits and features"
    'introspect:print every method with its schema'
    'kernel:stop the daemon, or replace it by a newer one'
    'completion:print the completion script of a shell'
  )

  _arguments -C $globals '--version[print the version]' '1: :->command' '*:: :->rest' && return 0
  if [[ $state == command ]]; then
    _describe 'command' commands
    return
  fi
  case $line[1] in
    spawn)
      _arguments -S $globals $program $bounds '--stdout[standard output]:kind:(pipe null)' \
        '--stderr[standard error]:kind:(pipe stdout null)' '(-)1:program:_command_names -e' '*::argument:_normal' ;;
    run)
      _arguments -S $globals $program $bounds '--rm[forget the session at the end]' \
        '(-t --tty)'{-t,--tty}'[give it a terminal]' '(-T --no-tty)'{-T,--no-tty}'[give it no terminal]' \
        '(-i --interactive)'{-i,--interactive}'[accepted]' '(-)1:program:_command_names -e' '*::argument:_normal' ;;
    attach)
      _arguments $globals '--from[where to begin]:place:(start end)' '--stream[only one]:stream:(stdout stderr)' \
        '--lossless[miss nothing]' '--line[take whole lines]' '--json[print chunks as JSON]' '1:session:_kairoctl_all' ;;
    logs)
      _arguments $globals '(-f --follow)'{-f,--follow}'[go on with what comes]' \
        '(-t --timestamps)'{-t,--timestamps}'[begin lines with their time]' '--since[only since then]:time:' \
        '(-n --tail)'{-n,--tail}'[only the last lines]:lines:' '--stream[only one]:stream:(stdout stderr)' \
        '1:session:_kairoctl_all' ;;
    write)
      _arguments $globals '--offset[position of the first byte]:bytes:' '--close[close afterwards]' \
        '1:session:_kairoctl_running' '2:data:' ;;
    close-stdin) _arguments $globals '1:session:_kairoctl_running' ;;
    wait) _arguments $globals '--timeout[give up after so long]:duration:' '*:session:_kairoctl_all' ;;
    status) _arguments $globals '--metrics[what their processes use, too]' '*:session:_kairoctl_all' ;;
    explain) _arguments $globals '1:session:_kairoctl_all' '2:path or port:_files' ;;
    metrics)
      _arguments $globals '--kernel[what the daemon has counted]' '--prometheus[the same as text for Prometheus]' ;;
    forget) _arguments $globals '*:session:_kairoctl_all' ;;
    ps)
      _arguments $globals '(-a --all)'{-a,--all}'[ended sessions as well]' '(-q --quiet)'{-q,--quiet}'[only ids]' \
        '--status[only these]:status:(running exited killed)' '(-l --label)'{-l,--label}'[with this label]:KEY[=VALUE]:' \
        '--owner[of this principal]:principal:' ;;
    kill)
      _arguments $globals '(-s --signal)'{-s,--signal}'[name or number]:signal:_signals -s' \
        '--scope[whom it reaches]:scope:(group main all)' '--escalate-after[SIGKILL follows]:duration:' \
        '*:session:_kairoctl_running' ;;
    pause | resume) _arguments $globals '*:session:_kairoctl_running' ;;
    cancel)
      _arguments $globals '--reason[recorded with the event]:text:' '--grace[from SIGTERM to SIGKILL]:duration:' \
        '*:session:_kairoctl_running' ;;
    events)
      _arguments $globals '(-f --follow)'{-f,--follow}'[go on with what happens from now on]' '*--topic[only these]:pattern:' \
        '--since[from this number or time on]:number or time:' '--correlation[only what carries this correlation id]:id:' \
        '(-n --count)'{-n,--count}'[leave after so many]:events:' ;;
    audit)
      _arguments $globals '--since[only what happened since then]:time:' '--until[only what happened until then]:time:' \
        '--principal[only records of this principal]:principal:' '--method[only this method or event]:method:' \
        '(-n --newest)'{-n,--newest}'[only the newest so many]:records:' \
        '(-f --follow)'{-f,--follow}'[go on with what is recorded from now on]' '1:action:(verify)' ;;
    devices)
      _arguments $globals '--process[claim it for this session]:session:_kairoctl_running' \
        '--subsystem[list only these]:subsystem:' '--type[list only these]:type:' \
        '1:action:(list claim release)' '2:device:' ;;
    policy)
      _arguments $globals $bounds '1:action:(test)' '2:principal:' '3:method:' ;;
    control)
      _arguments $globals "--control-socket[the executor's socket]:socket:_files" '--node[the node to speak for]:node:' \
        '--interval[time between heartbeats]:duration:' '*--topic[print what is published to these, too]:pattern:' \
        '--stdin[end when standard input does]' '--no-ack[leave the acknowledgement to the script]' \
        '(-n --count)'{-n,--count}'[leave after so many]:messages:' \
        '1:action:(run heartbeat ack publish listen)' '2:topic:' '3:data:' ;;
    topology) _kairoctl_topology ;;
    kernel)
      _arguments $globals '--processes[what stop does to the programs]:what:(keep stop)' \
        '1:action:(info stop upgrade)' ;;
    completion) _arguments $globals '1:shell:(bash zsh fish)' ;;
    *) _arguments $globals ;;
  esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _kairoctl "$@"
else
  compdef _kairoctl kairoctl
fi
