#!/usr/bin/env bash
# Installs the gate in an environment of its own, and leaves the command that starts it: $RUNNER_TEMP/fidelity-gate/gate.
#
#   RUNNER_TEMP  a folder for it, outside of what is judged
#   FG_INSTALL   "true", or "false" where the job has the gate already
#   FG_EXTRAS    extras of the package, separated by commas: "torch,attest"
#   FG_SOURCE    the folder of this project
#   FG_PYTHON    the Python to use; empty for the python3 on the PATH
#
# `python -I` everywhere: the folder that a step runs in holds what is judged, and must not decide what is imported.
set -euo pipefail

refuse() {
  printf 'fidelity-gate: error: %s\n' "$1" >&2
  exit 2
}

project="$(cd -- "$FG_SOURCE" && pwd)"
home="$RUNNER_TEMP/fidelity-gate"
mkdir -p "$home"
python="${FG_PYTHON:-$(command -v python3)}" || refuse 'no python3 is on the PATH'

case "$FG_INSTALL" in
  true)
    [[ "$FG_EXTRAS" =~ ^([a-z]+(,[a-z]+)*)?$ ]] || refuse 'extras: words of lower-case letters, separated by commas (torch,attest)'
    "$python" -I -m venv "$home/venv"
    python="$home/venv/bin/python"
    [[ -x "$python" ]] || python="$home/venv/Scripts/python.exe"
    # By relative names, because pip splits these variables at spaces; the second one holds for what builds the package.
    cp "$project/ci/constraints.txt" "$home/constraints.txt"
    cd "$home"
    PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
      "$python" -I -m pip install --disable-pip-version-check --no-input --quiet "$project${FG_EXTRAS:+[$FG_EXTRAS]}"
    ;;
  false) ;;
  *) refuse 'install: must be true or false' ;;
esac

"$python" -I -c 'import fidelity_gate.cli' || refuse 'the gate is not installed in this Python (install: true installs it)'
printf '#!/usr/bin/env bash\nexec %q -I -m fidelity_gate.cli "$@"\n' "$python" > "$home/gate"
chmod 755 "$home/gate"
"$home/gate" --version
