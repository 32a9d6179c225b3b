/**
 * What the guardian does, for any shell of POSIX: dash and busybox too. It knows nothing that it was not told, and starts
 * no program before the end of the supervisor.
 *
 * Its arguments are the supervisor's id, and `<pid>.<start time>` of the supervisor. It reads:
 *
 * - `+ <pid> <start time> [<file>]`: a child, which leads a group; writing "1" to the file ends its control group.
 * - `- <pid> <start time>`: it is gone.
 * - `= <name> …`: the names of all that may outlive the supervisor.
 * - `q`: the supervisor ends in good order.
 *
 * What there is to tell when it starts is in its environment: `<pid> <start time> [<file>]`, a line for each child, and the
 * names. So it knows them however soon the supervisor dies.
 *
 * The end of the input is the end of the supervisor, however that came about: the kernel closes its side.
 */
export const script = `
id=$1 supervisor=$2 nl='
'
children=$nl$NEXO_GUARDIAN_CHILDREN
spared=" $NEXO_GUARDIAN_SPARED "
unset NEXO_GUARDIAN NEXO_GUARDIAN_CHILDREN NEXO_GUARDIAN_SPARED
trap '' HUP INT TERM QUIT USR1 USR2 TSTP
set -f

# The start time of a process, empty without one. Its name may hold anything, even a new line: fields count from behind it.
started() {
  start= text=
  { while IFS= read -r part || [ -n "$part" ]; do text="$text$part "; done < "/proc/$1/stat"; } 2> /dev/null
  [ -n "$text" ] || return 0
  set -- \${text##*) }
  start=\${20}
}

# Without a table of processes nobody is known, and nobody is killed.
started $$
[ -n "$start" ] || exit 1

while :; do
  read -r op pid start file || break
  case $op in
    +) children="$children$pid $start $file$nl" ;;
    -) case $children in
         *"$nl$pid $start "*)
           rest=\${children#*"$nl$pid $start "}
           children=\${children%%"$nl$pid $start "*}$nl\${rest#*"$nl"} ;;
       esac ;;
    =) spared=" $pid $start $file " ;;
    q) exit 0 ;;
  esac
done

# Process groups, then control groups: who is on his way into one does not arrive. A number that somebody has had since is nobody's group of ours: it was empty before
# it was given anew. One that nobody has is kept by the members that are left.
ifs=$IFS IFS=$nl
for child in $children; do
  pid=\${child%% *} rest=\${child#* }
  IFS=$ifs
  started "$pid"
  [ -n "$start" ] && [ "$start" != "\${rest%% *}" ] || kill -9 "-$pid"
  [ -z "\${rest#* }" ] || [ ! -e "\${rest#* }" ] || echo 1 > "\${rest#* }"
done
IFS=$ifs

# Whether a process bears the mark, and is not spared.
marked() {
  tr '\\n\\0' ' \\n' < "/proc/$1/environ" | (
    while IFS= read -r entry; do
      case $entry in
        "NEXO_SUPERVISED=$id/"*"/$supervisor")
          name=\${entry#*/} name=\${name%/*}
          case $name in */*) continue ;; esac
          case $spared in *" $name "*) exit 1 ;; *) exit 0 ;; esac ;;
      esac
    done
    exit 1
  )
}

# Those that may bear it. Most are ruled out without a program of their own: by one search through all where it can see
# past a zero byte, as GNU's, else by the shell, which leaves these bytes out.
suspects() {
  set +f
  if [ "$(printf 'a\\0b\\n' | grep -c b)" = 1 ]; then
    grep -l -F -e "/$supervisor" /proc/[0-9]*/environ
  else
    for environ in /proc/[0-9]*/environ; do
      while IFS= read -r part || [ -n "$part" ]; do
        case $part in *"NEXO_SUPERVISED=$id/"*"/$supervisor"*) echo "$environ"; break ;; esac
      done < "$environ"
    done
  fi
}

# Until two looks in a row find nobody: a process can be forked between a look and the signal. One that began after the
# look is left to the next: its number may have been another's.
round=0 empty=0
while [ $empty -lt 2 ] && [ $round -lt 300 ]; do
  round=$((round + 1)) empty=$((empty + 1))
  text=$(cat /proc/self/stat)
  set -- \${text##*) }
  look=\${20}
  for environ in $(suspects); do
    pid=\${environ#/proc/} pid=\${pid%/environ}
    marked "$pid" || continue
    empty=0
    started "$pid"
    [ -n "$start" ] && [ "$start" -le "$look" ] && kill -9 "$pid"
  done
done
`
