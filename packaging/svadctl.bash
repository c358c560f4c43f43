# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for svadctl. Names and ids come from the running svad, when there is one; it is given half a second.
# shellcheck shell=bash

_svadctl_ask() { # COMMAND... -> one value a line: the first column of a table, without its title
	local column=$1
	shift
	COLUMNS='' svadctl "${_svadctl_global[@]}" --timeout 500ms "$@" 2>/dev/null |
		awk -v c="$column" 'NR > 1 && $0 !~ /\.$/ { print $c }'
}

_svadctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verb='' sub='' word i
	local -a _svadctl_global=()
	local verbs='status device client bond container drain quarantine watch top metrics cdi doctor config version help'
	local options='--json --socket --timeout --help'

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--socket)
			_svadctl_global=(--socket "${COMP_WORDS[i + 1]}")
			i=$((i + 1))
			;;
		--timeout | --client | --container | --device | --uid | --bond | --interval | --count | -n | -d) i=$((i + 1)) ;;
		--attachment | --network | --id | --netns | --pid | --devices | --limits | --ifname | --pod | --pod-uid) i=$((i + 1)) ;;
		--state-dir | --output | -o | --socket-dir | --dir) i=$((i + 1)) ;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=$word
			elif [[ -z $sub ]]; then
				sub=$word
			fi
			;;
		esac
	done

	case $prev in
	--socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--device)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 device list)" -- "$cur")
		return
		;;
	--client)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 client list)" -- "$cur")
		return
		;;
	--container)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 container list --removed)" -- "$cur")
		return
		;;
	--netns)
		mapfile -t COMPREPLY < <(compgen -f -- "${cur:-/run/netns/}")
		return
		;;
	--state-dir | --output | -o | --socket-dir | --dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--limits)
		mapfile -t COMPREPLY < <(compgen -W 'bonds= connections= requests= deadline=' -- "$cur")
		return
		;;
	--devices)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 device list)" -- "$cur")
		return
		;;
	--attachment | --network | --id | --pid | --ifname | --pod | --pod-uid) return ;;
	--bond)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 bond list)" -- "$cur")
		return
		;;
	--uid)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 3 client list | sort -u)" -- "$cur")
		return
		;;
	--timeout | --interval | -d)
		mapfile -t COMPREPLY < <(compgen -W '500ms 1s 2s 10s 1min' -- "$cur")
		return
		;;
	--count | -n) return ;;
	esac

	if [[ $cur == -* ]]; then
		case $verb${sub:+ $sub} in
		'bond list') options+=' --client --container --device' ;;
		'client list') options+=' --container' ;;
		'container list') options+=' --removed --network' ;;
		'container register')
			options+=' --id --netns --pid --oci --devices --limits --network --ifname --pod --pod-uid --state-dir'
			;;
		'container remove') options+=' --attachment --oci --network --state-dir' ;;
		'cdi generate') options+=' --output --socket-dir' ;;
		'cdi list') options+=' --dir' ;;
		drain) options+=' --client --container --device --uid --bond --all' ;;
		'quarantine list') options+=' --container --device' ;;
		'quarantine release') options+=' --device' ;;
		watch) options+=' --snapshot --device --client --container --count' ;;
		top) options+=' --batch --containers --count --interval' ;;
		metrics) options+=' --containers' ;;
		'') options+=' --version' ;;
		esac
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi

	case $verb${sub:+ $sub} in
	'') mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
	device) mapfile -t COMPREPLY < <(compgen -W 'list show reset' -- "$cur") ;;
	client) mapfile -t COMPREPLY < <(compgen -W 'list' -- "$cur") ;;
	bond) mapfile -t COMPREPLY < <(compgen -W 'list show revoke' -- "$cur") ;;
	container) mapfile -t COMPREPLY < <(compgen -W 'list show register remove reconcile' -- "$cur") ;;
	cdi) mapfile -t COMPREPLY < <(compgen -W 'generate list' -- "$cur") ;;
	quarantine) mapfile -t COMPREPLY < <(compgen -W 'list release' -- "$cur") ;;
	config) mapfile -t COMPREPLY < <(compgen -W 'check' -- "$cur") ;;
	'device show')
		# vfio devices too, by the names that sysfs has for them
		word=$(for i in /sys/class/vfio-dev/*/device; do
			[[ -e $i ]] && basename "$(readlink -f "$i")"
		done)
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 device list) $word" -- "$cur")
		;;
	'device reset') mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 device list)" -- "$cur") ;;
	'bond show' | 'bond revoke')
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 bond list)" -- "$cur")
		;;
	'container show') mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 container list --removed)" -- "$cur") ;;
	'container remove') mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 container list)" -- "$cur") ;;
	'quarantine release')
		mapfile -t COMPREPLY < <(compgen -W "$(_svadctl_ask 1 quarantine list)" -- "$cur")
		;;
	'config check') mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -F _svadctl svadctl
