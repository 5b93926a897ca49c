#!/bin/sh
# Finds a Python that is new enough and hands over to tools/setup.py. PYTHON=… chooses one.
set -eu
cd "$(dirname "$0")/.."
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$candidate" tools/setup.py "$@"
    fi
done
echo "setup: Hone needs Python 3.11 or newer; none of these is: ${PYTHON:-python3 python3.13 python3.12 python3.11 python}." >&2
echo "setup: install one and run the command again, or name it: make setup PYTHON=/path/to/python3.12" >&2
exit 1
