#!/usr/bin/env bash
# What ci/Jenkinsfile runs: Jenkins' variables in the words of ci/gate.sh. In a pull request the target branch judges; on
# the branch that FG_DEFAULT_BRANCH names the commit itself; anywhere else that branch.
set -euo pipefail

export FG_REPORTS="${FG_REPORTS:-fidelity-gate-reports}" FG_STRICT_JUNIT=true
export FG_COMMIT="$GIT_COMMIT" FG_REPOSITORY="${JOB_NAME:-}" FG_RUN="${BUILD_NUMBER:-}"
if [[ "${FG_POLICY_FROM:-base}" != base ]]; then
  export FG_BASE="$FG_POLICY_FROM"
elif [[ -n "${CHANGE_TARGET:-}" ]]; then
  export FG_BASE="refs/heads/$CHANGE_TARGET"
elif [[ "$BRANCH_NAME" == "$FG_DEFAULT_BRANCH" ]]; then
  export FG_BASE=commit
else
  export FG_BASE="refs/heads/$FG_DEFAULT_BRANCH"
fi
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/gate.sh"
