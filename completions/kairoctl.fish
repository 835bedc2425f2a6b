# fish completion for kairoctl: commands, options, the values of options, and the ids of sessions.
# Install as /usr/share/fish/vendor_completions.d/kairoctl.fish, or: kairoctl completion fish | source

function __kairoctl_ids
    set -l where
    set -l words (commandline -opc)
    set -l at (contains -i -- --socket $words); and set where --socket $words[(math $at + 1)]
    kairoctl $where --no-autostart ps --quiet $argv 2>/dev/null
end

function __kairoctl_using
    set -l words (commandline -opc)
    # What follows `topology` has completions of its own.
    contains -- topology $words; and not contains -- topology $argv; and return 1
    for word in $words[2..-1]
        contains -- $word $argv; and return 0
    end
    return 1
end

set -l commands spawn run attach logs write close-stdin wait status explain ps kill pause resume cancel forget events \
    audit metrics devices policy control topology ping info introspect kernel completion
set -l none "not __kairoctl_using $commands"

complete -c kairoctl -f
complete -c kairoctl -l socket -r -F -d 'Socket of the daemon'
complete -c kairoctl -l no-autostart -d 'Do not start a daemon when none answers'
complete -c kairoctl -l reconnect -x -d 'How long a daemon that went away is sought'
complete -c kairoctl -l state-dir -x -a '(__fish_complete_directories)' -d 'State directory of a daemon that is started'
complete -c kairoctl -l any-owner -d 'Talk to a daemon that runs as another user'
complete -c kairoctl -l correlation-id -x -d 'Mark what follows from this command'
complete -c kairoctl -l table -d 'Print a table instead of JSON'
complete -c kairoctl -s h -l help -d 'Print help'
complete -c kairoctl -n $none -l version -d 'Print the version'

complete -c kairoctl -n $none -a spawn -d 'Start a program and leave it alone'
complete -c kairoctl -n $none -a run -d 'Run a program as if it were run here'
complete -c kairoctl -n $none -a attach -d "Follow a session's output"
complete -c kairoctl -n $none -a logs -d 'Print what a session has written'
complete -c kairoctl -n $none -a write -d "Write to a session's standard input"
complete -c kairoctl -n $none -a close-stdin -d "End a session's standard input"
complete -c kairoctl -n $none -a wait -d 'Wait until sessions have ended'
complete -c kairoctl -n $none -a status -d 'Print sessions'
complete -c kairoctl -n $none -a explain -d "Say what a session's permissions cover, or what it was denied"
complete -c kairoctl -n $none -a ps -d 'List sessions'
complete -c kairoctl -n $none -a kill -d 'Send a signal'
complete -c kairoctl -n $none -a pause -d 'Stop sessions where they are'
complete -c kairoctl -n $none -a resume -d 'Let paused sessions go on'
complete -c kairoctl -n $none -a cancel -d 'Terminate sessions, with a reason'
complete -c kairoctl -n $none -a forget -d 'Remove ended sessions and their logs'
complete -c kairoctl -n $none -a events -d 'Print events: those stored, or with -f those to come'
complete -c kairoctl -n $none -a audit -d 'Print who asked for what; verify that no record was changed'
complete -c kairoctl -n $none -a metrics -d 'Print the state of the machine'
complete -c kairoctl -n $none -a policy -d "Ask what the policy says to a call"
complete -c kairoctl -n '__kairoctl_using policy' -a test
complete -c kairoctl -n $none -a devices -d "List the machine's devices, claim and release them"
complete -c kairoctl -n $none -a control -d 'Speak for a node of a topology'
complete -c kairoctl -n $none -a topology -d 'Run what a file declares'
complete -c kairoctl -n $none -a ping -d 'Ask whether the daemon answers'
complete -c kairoctl -n $none -a info -d "Print the daemon's version, limits and features"
complete -c kairoctl -n $none -a introspect -d 'Print every method with its schema'
complete -c kairoctl -n $none -a kernel -d 'Stop the daemon, or replace it by a newer one'
complete -c kairoctl -n $none -a completion -d 'Print the completion script of a shell'

set -l program '__kairoctl_using spawn run'
set -l bounds '__kairoctl_using spawn run policy'
complete -c kairoctl -n $program -l id -x -d 'Name of the session'
complete -c kairoctl -n $program -l cwd -x -a '(__fish_complete_directories)' -d 'Working directory'
complete -c kairoctl -n $program -s e -l env -x -d 'Set a variable'
complete -c kairoctl -n $program -l clean-env -d 'Do not pass the environment'
complete -c kairoctl -n $program -s l -l label -x -d 'Attach a label'
complete -c kairoctl -n $program -l replace -d 'Take over the id of an ended session'
complete -c kairoctl -n $program -l stdin -x -a 'pipe null' -d 'Standard input'
complete -c kairoctl -n $program -l timeout -x -d 'Terminate it after so long'
complete -c kairoctl -n $program -l kill-grace -x -d 'From SIGTERM to SIGKILL'
complete -c kairoctl -n $program -l retain -x -d 'Bytes that each log keeps'
complete -c kairoctl -n $program -l when-full -x -a 'drop-oldest block' -d 'What a full log does'
complete -c kairoctl -n $program -l on-owner-exit -x -a 'keep kill' -d 'What the end of this client does to it'
complete -c kairoctl -n $program -l detach-descendants -d 'Let its descendants outlive it'
complete -c kairoctl -n $bounds -l cpus -x -d 'Cores that it may use'
complete -c kairoctl -n $bounds -s m -l memory -x -d 'Memory that it may use'
complete -c kairoctl -n $bounds -l pids-limit -x -d 'Processes and threads that it may be'
complete -c kairoctl -n $bounds -l limit -x -a 'cpu= memory= pids= openFiles= cpuSeconds= fileSize= wallMs=' -d 'A limit by its name'
complete -c kairoctl -n $program -l limits-best-effort -d 'Run it also where some cannot be set'
complete -c kairoctl -n $bounds -l allow-read -r -F -d 'Confine it; let it read below a path'
complete -c kairoctl -n $bounds -l allow-write -r -F -d 'Confine it; let it change what is below a path'
complete -c kairoctl -n $bounds -l net -x -a 'none private all' -d 'Confine it; network'
complete -c kairoctl -n $bounds -l connect-tcp -x -d 'Confine it; let it connect to a TCP port'
complete -c kairoctl -n $bounds -l bind-tcp -x -d 'Confine it; let it listen on a TCP port'
complete -c kairoctl -n $bounds -l ipc -x -a 'none kernel all' -d 'Confine it; Unix sockets and System V IPC'
complete -c kairoctl -n $bounds -l profile -x -a 'read-only workspace offline unconfined' -d 'Confine it by a profile'
complete -c kairoctl -n $program -x -a '(__fish_complete_subcommand --fcs-skip=2)'
complete -c kairoctl -n '__kairoctl_using spawn' -l stdout -x -a 'pipe null' -d 'Standard output'
complete -c kairoctl -n '__kairoctl_using spawn' -l stderr -x -a 'pipe stdout null' -d 'Standard error'
complete -c kairoctl -n '__kairoctl_using run' -l rm -d 'Forget the session at the end'
complete -c kairoctl -n '__kairoctl_using run' -s t -l tty -d 'Give it a terminal'
complete -c kairoctl -n '__kairoctl_using run' -s T -l no-tty -d 'Give it no terminal'
complete -c kairoctl -n '__kairoctl_using run' -s i -l interactive -d 'Accepted'

complete -c kairoctl -n '__kairoctl_using attach' -l from -x -a 'start end' -d 'Where to begin'
complete -c kairoctl -n '__kairoctl_using attach logs' -l stream -x -a 'stdout stderr' -d 'Only one stream'
complete -c kairoctl -n '__kairoctl_using attach' -l lossless -d 'Miss nothing'
complete -c kairoctl -n '__kairoctl_using attach' -l line -d 'Take whole lines'
complete -c kairoctl -n '__kairoctl_using attach' -l json -d 'Print chunks as JSON'
complete -c kairoctl -n '__kairoctl_using logs' -s f -l follow -d 'Go on with what comes'
complete -c kairoctl -n '__kairoctl_using logs' -s t -l timestamps -d 'Begin lines with their time'
complete -c kairoctl -n '__kairoctl_using logs' -l since -x -d 'Only since then'
complete -c kairoctl -n '__kairoctl_using logs' -s n -l tail -x -d 'Only the last lines'
complete -c kairoctl -n '__kairoctl_using write' -l offset -x -d 'Position of the first byte'
complete -c kairoctl -n '__kairoctl_using write' -l close -d 'Close standard input afterwards'
complete -c kairoctl -n '__kairoctl_using wait' -l timeout -x -d 'Give up after so long'
complete -c kairoctl -n '__kairoctl_using status' -l metrics -d 'What their processes use, too'
complete -c kairoctl -n '__kairoctl_using metrics' -l kernel -d 'What the daemon has counted'
complete -c kairoctl -n '__kairoctl_using metrics' -l prometheus -d 'The same as text for Prometheus'
complete -c kairoctl -n '__kairoctl_using ps' -s a -l all -d 'Ended sessions as well'
complete -c kairoctl -n '__kairoctl_using ps' -s q -l quiet -d 'Only the ids'
complete -c kairoctl -n '__kairoctl_using ps' -l status -x -a 'running exited killed' -d 'Only these'
complete -c kairoctl -n '__kairoctl_using ps' -s l -l label -x -d 'Only with this label'
complete -c kairoctl -n '__kairoctl_using ps' -l owner -x -d 'Only of this principal'
complete -c kairoctl -n '__kairoctl_using kill' -s s -l signal -x -a '(kill -l | string split " ")' -d 'Name or number'
complete -c kairoctl -n '__kairoctl_using kill' -l scope -x -a 'group main all' -d 'Whom it reaches'
complete -c kairoctl -n '__kairoctl_using kill' -l escalate-after -x -d 'SIGKILL follows after so long'
complete -c kairoctl -n '__kairoctl_using cancel' -l reason -x -d 'Recorded with the event'
complete -c kairoctl -n '__kairoctl_using cancel' -l grace -x -d 'From SIGTERM to SIGKILL'
complete -c kairoctl -n '__kairoctl_using events' -s f -l follow -d 'Go on with what happens from now on'
complete -c kairoctl -n '__kairoctl_using events' -l since -x -d 'From this number or time on'
complete -c kairoctl -n '__kairoctl_using events' -l topic -x -d 'Only these'
complete -c kairoctl -n '__kairoctl_using events' -l correlation -x -d 'Only what carries this correlation id'
complete -c kairoctl -n '__kairoctl_using events' -s n -l count -x -d 'Leave after so many'

complete -c kairoctl -n '__kairoctl_using audit' -l since -x -d 'Only what happened since then'
complete -c kairoctl -n '__kairoctl_using audit' -l until -x -d 'Only what happened until then'
complete -c kairoctl -n '__kairoctl_using audit' -l principal -x -d 'Only records of this principal'
complete -c kairoctl -n '__kairoctl_using audit' -l method -x -d 'Only this method or event'
complete -c kairoctl -n '__kairoctl_using audit' -s n -l newest -x -d 'Only the newest so many'
complete -c kairoctl -n '__kairoctl_using audit' -s f -l follow -d 'Go on with what is recorded from now on'
complete -c kairoctl -n '__kairoctl_using audit' -a verify

# Of a topology: the words behind `topology` that are no options.
function __kairoctl_topology
    set -l words (string match -v -- '-*' (commandline -opc))
    set -l at (contains -i -- topology $words); or return 1
    test "$words[(math $at + 1)]" = ''; and test "$argv[1]" = none; and return 0
    contains -- "$words[(math $at + 1)]" $argv
end
function __kairoctl_topologies
    kairoctl --no-autostart topology list 2>/dev/null | string replace -r '.*"name":"([^"]*)".*' '$1'
end
function __kairoctl_nodes
    set -l words (string match -v -- '-*' (commandline -opc))
    set -l at (contains -i -- topology $words); or return
    kairoctl --no-autostart --table topology status $words[(math $at + 2)] 2>/dev/null | string replace -r ' .*' '' | tail -n +2
end
complete -c kairoctl -n '__kairoctl_topology none' -a up -d 'Start what a file declares'
complete -c kairoctl -n '__kairoctl_topology none' -a status -d 'Print a topology, its nodes and its connections'
complete -c kairoctl -n '__kairoctl_topology none' -a list -d 'List topologies'
complete -c kairoctl -n '__kairoctl_topology none' -a cutover -d "Put another node in a node's place"
complete -c kairoctl -n '__kairoctl_topology none' -a down -d 'End a topology'
complete -c kairoctl -n '__kairoctl_topology none' -a logs -d 'Print what its nodes have written to standard error'
complete -c kairoctl -n '__kairoctl_topology none' -a graph -d 'Print it as a graph'
complete -c kairoctl -n '__kairoctl_topology none' -a check -d 'Say whether a file is good'
complete -c kairoctl -n '__kairoctl_topology none' -a schema -d 'Print the JSON Schema of such a file'
complete -c kairoctl -n '__kairoctl_topology up graph' -s f -l file -r -F -d 'YAML or JSON that declares it'
complete -c kairoctl -n '__kairoctl_topology check' -F
complete -c kairoctl -n '__kairoctl_topology up' -l name -x -d "Name, instead of the file's"
complete -c kairoctl -n '__kairoctl_topology up' -l cwd -x -a '(__fish_complete_directories)' -d 'Working directory of its nodes'
complete -c kairoctl -n '__kairoctl_topology up' -l check -d 'Only say whether the file is good'
complete -c kairoctl -n '__kairoctl_topology status' -l wait -d 'Wait until it has ended'
complete -c kairoctl -n '__kairoctl_topology cutover' -l boundary -x -a 'bytes line' -d 'Where its input is cut'
complete -c kairoctl -n '__kairoctl_topology cutover down' -l drain-timeout -x -d 'How long the rest may take'
complete -c kairoctl -n '__kairoctl_topology cutover' -l health-timeout -x -d 'How long the new node may take'
complete -c kairoctl -n '__kairoctl_topology cutover' -l module -x \
    -a 'passthrough uppercase tee meter rate-limit filter-lines file-source file-sink count' -d 'Run this module in its place'
complete -c kairoctl -n '__kairoctl_topology cutover' -l params -x -d 'Parameters of the module, JSON'
complete -c kairoctl -n '__kairoctl_topology cutover' -s e -l env -x -d 'Variables'
complete -c kairoctl -n '__kairoctl_topology logs' -s f -l follow -d 'Go on with what comes'
complete -c kairoctl -n '__kairoctl_topology logs' -s n -l tail -x -d 'Only the last lines'
complete -c kairoctl -n '__kairoctl_topology status cutover down logs graph' -a '(__kairoctl_topologies)'
complete -c kairoctl -n '__kairoctl_topology cutover logs' -a '(__kairoctl_nodes)'

complete -c kairoctl -n '__kairoctl_using write close-stdin kill pause resume cancel' -a '(__kairoctl_ids)'
complete -c kairoctl -n '__kairoctl_using attach logs wait status explain forget' -a '(__kairoctl_ids --all)'
complete -c kairoctl -n '__kairoctl_using devices' -l process -x -a '(__kairoctl_ids)' -d 'Claim it for this session'
complete -c kairoctl -n '__kairoctl_using devices' -l subsystem -x -d 'List only these'
complete -c kairoctl -n '__kairoctl_using devices' -l type -x -d 'List only these'
complete -c kairoctl -n '__kairoctl_using devices' -a 'list claim release'
complete -c kairoctl -n '__kairoctl_using control' -l control-socket -r -F -d "The executor's socket"
complete -c kairoctl -n '__kairoctl_using control' -l node -x -d 'The node to speak for'
complete -c kairoctl -n '__kairoctl_using control' -l interval -x -d 'Time between heartbeats'
complete -c kairoctl -n '__kairoctl_using control' -l topic -x -d 'Print what is published to these, too'
complete -c kairoctl -n '__kairoctl_using control' -l stdin -d 'End when standard input does'
complete -c kairoctl -n '__kairoctl_using control' -l no-ack -d 'Leave the acknowledgement to the script'
complete -c kairoctl -n '__kairoctl_using control' -s n -l count -x -d 'Leave after so many'
complete -c kairoctl -n '__kairoctl_using control' -a 'run heartbeat ack publish listen'
complete -c kairoctl -n '__kairoctl_using kernel' -l processes -x -a 'keep stop' -d 'What stop does to the programs'
complete -c kairoctl -n '__kairoctl_using kernel' -a 'info stop upgrade'
complete -c kairoctl -n '__kairoctl_using completion' -a 'bash zsh fish'
