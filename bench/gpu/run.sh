#!/bin/bash
# On a machine with a GPU: installs shortlist, the CUDA plugin and what is compared, tests and
# measures. Arguments go to python -m bench.gpu; see bench/README.md.
#   WORK=DIR: where environments are made (default: a new folder below /tmp)
#   PEERS=: install none (default: torch cupy faiss cuvs)
#   PYTHON=python3.12: which one
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${WORK:-$(mktemp -d /tmp/shortlist-gpu.XXXXXX)}
peers=${PEERS-torch cupy faiss cuvs}
python=${PYTHON:-python3}
mkdir -p "$work/peers"

# Each in an environment of its own, all at once, while ours is built; one that fails is left out.
package_of() {
  case $1 in
    torch) echo torch numpy ;;
    cupy) echo cupy-cuda13x numpy ;;
    faiss) echo faiss-gpu numpy ;;
    cuvs) echo cuvs-cu13 cupy-cuda13x numpy ;;
  esac
}
installs=()
for peer in $peers; do
  # shellcheck disable=SC2046
  (
    "$python" -m venv --system-site-packages "$work/peers/$peer" &&
      timeout 200 "$work/peers/$peer/bin/pip" install -q $(package_of "$peer")
  ) > "$work/peers/$peer.log" 2>&1 &
  installs+=($!)
done

"$python" -m venv --system-site-packages "$work/env"
timeout 240 "$work/env/bin/pip" install -q ".[test]" ./cuda/package
for id in "${installs[@]}"; do
  wait "$id" || echo "a peer was not installed; see $work/peers/*.log" >&2
done
# Eight minutes in all.
left=$((470 - SECONDS))
timeout "$left" "$work/env/bin/python" -m bench.gpu --pythons "$work/peers" --seconds "$left" "$@"
